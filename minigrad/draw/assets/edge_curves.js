// The lines between the boxes of the picture in time, as chains of cubic curves whose last point
// is the tip of the arrow: `fore` for the values, `back` for the gradient, `at` for its number.

function straight([x0, y0], [x1, y1]) {
  const part = (t) => [x0 + (x1 - x0) * t, y0 + (y1 - y0) * t];
  return [[x0, y0], part(1 / 3), part(2 / 3), [x1, y1]];
}

function bent([x0, y0], [x1, y1]) {
  const middle = (y0 + y1) / 2;
  return [[x0, y0], [x0, middle], [x1, middle], [x1, y1]];
}

function routeInTime(P, a, b, sibling, grid) {
  const N = P.nodes;
  const [i, j] = [a.nodes[0], b.nodes[0]];
  if (a.band && a.band === b.band) {
    if (a.column === b.column) return withinStep(P, a, b, i, j, grid);
    if (N.isState[i]) return alongLane(P, a, b, i, j, sibling, grid);
  }
  return upward(P, a, b, sibling, grid);
}

function withinStep(P, a, b, i, j, grid) {
  const N = P.nodes;
  if (a.gap || b.gap || N.kind[i] === "elided" || N.kind[j] === "elided") return null;
  const side = N.reverse[j] ? -1 : 1;
  const near = (one, other) => one.y + (other.y > one.y ? 1 : -1) * (one.h / 2);
  if (N.isState[i] && N.isState[j]) {
    return {
      back: straight([b.x - side * 8, near(b, a)], [a.x + side, near(a, b)]),
      fore: straight([a.x - side * 7, near(a, b)], [b.x - side * 12, near(b, a)]),
      at: null,
    };
  }
  if (N.isState[j]) {
    const fed = N.into[i].some((e) => {
      const from = P.edges.source[e];
      return N.isState[from] && N.state[from] === N.state[j] && N.step[from] !== N.step[i];
    });
    const [from, to] = [a.x + (side * a.w) / 2, b.x - (side * b.w) / 2];
    if (fed || Math.abs(to - from) < 8) return null;
    return { back: [], fore: straight([from, b.y], [to, b.y]), at: null };
  }
  // A state that its own cell reads again (the output gate reads c): over the pill of h.
  const hidden = a.band.lanes.filter((lane) => lane !== N.state[i]);
  if (!hidden.length) return null;
  const y = a.band.lane_y[a.band.lanes.indexOf(hidden[hidden.length - 1])];
  const sign = N.reverse[i] ? -1 : 1;
  return { back: straight([a.x + sign * 14, y + 9], [a.x + sign * 2, a.y - a.h / 2]), fore: [], at: null };
}

function alongLane(P, a, b, i, j, sibling, grid) {
  const N = P.nodes;
  const band = a.band;
  const side = N.reverse[i] ? -1 : 1;
  const place = band.lanes.indexOf(N.state[i]);
  const y = band.lane_y[place] + [0, -8, 8, -16, 16][sibling % 5];
  const begin = a.x + (side * a.w) / 2;
  const last = place === band.lanes.length - 1;
  const shift = 0.75 * (last && band.lanes.length > 1 ? 9.5 : -9.5);
  let stop = b.x - (side * b.w) / 2;
  let at = null;
  if (!b.gap && N.kind[j] !== "elided") {
    const pill = grid.pills.get(laneKey(N.state[i], N.layer[i], N.reverse[i]) + N.step[j]);
    stop = pill ? pill.x - (side * pill.w) / 2 : b.x + (side * b.column.width) / 2;
    if (sibling === 0) at = [b.x, y + (!last || band.lanes.length === 1 ? 14 : -14)];
  }
  return {
    back: straight([stop, y], [begin + side * 1.5, y]),
    fore: sibling === 0 ? straight([begin, y + shift], [stop, y + shift]) : [],
    at, lane: true,
  };
}

function upward(P, a, b, sibling, grid) {
  const N = P.nodes;
  const { T } = grid;
  const aState = N.isState[a.nodes[0]];
  let y0 = a.y + a.h / 2;
  if (aState && (a.gap || N.kind[a.nodes[0]] === "elided")) y0 = a.band.bottom + a.band.height;
  const y1 = b.y - b.h / 2;
  let [x0, x1] = [a.x, b.x];
  if (b.bar) x1 = clamp(x0, b.x - b.w / 2 + 8, b.x + b.w / 2 - 8);
  if (a.bar) x0 = clamp(x1, a.x - a.w / 2 + 8, a.x + a.w / 2 - 8);
  // A line that goes up from a state keeps its thick part away from the lane of c beside it.
  const single = aState && !a.gap && N.kind[a.nodes[0]] !== "elided";
  const sign = single && !N.reverse[a.nodes[0]] ? -1 : 1;
  x0 += 9 * sibling;
  x1 += 9 * sibling;
  if (y1 <= y0) {
    const curve = bent([x0, a.y - a.h / 2], [x1, b.y + b.h / 2]);
    return { back: curve.slice().reverse(), fore: curve, at: null };
  }
  const between = T.bands.filter((band) => band.bottom >= y0 - 0.5 && band.bottom + band.height < y1);
  const ownTop = single ? Math.min(a.band.bottom + a.band.height, y1 - 10) : y0;
  // The line bends in the corridor below its target, above all bands that it has to pass.
  let corridor = Math.max(ownTop, ...between.map((band) => band.bottom + band.height));
  if (!between.length && !aState && b.band) corridor = y1 - Math.min(40, (y1 - y0) * 0.8);
  const bypass = between.length > 0 && !aState;
  if (bypass) x0 -= 16;
  const chain = (offset) => {
    const start = [x0 + offset, y0];
    let turn = [x0 + offset, corridor];
    let head = [start];
    if (bypass) {
      // Beside the cells in between, where none of their states is drawn.
      const beside = b.x - b.w / 2 - T.beside + offset;
      const first = Math.min(...between.map((band) => band.bottom));
      turn = [beside, corridor];
      head = [...bent(start, [beside, first]), ...straight([beside, first], turn).slice(1)];
    } else if (corridor - y0 >= 0.5) head = straight(start, turn);
    const end = [x1 + offset, y1];
    const tail = Math.abs(end[0] - turn[0]) > 0.5 ? bent(turn, end) : straight(turn, [turn[0], y1]);
    return [...head, ...tail.slice(1)];
  };
  const besideRight = !between.length && T.bands.some((band) => band.reverse);
  const side = (besideRight && b.band) || (aState && N.reverse[a.nodes[0]]) ? 1 : -1;
  const narrow = aState && N.isState[b.nodes[0]];
  return {
    back: chain(sign * -4).reverse(), fore: chain(sign * 5),
    at: narrow || sibling || a.gap ? null : [x1 + side * 28, y1 - 12],
  };
}
