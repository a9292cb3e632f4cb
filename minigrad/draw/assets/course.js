// The course of the gradient over all time steps, those left out included: one line for each lane.

const chartHeight = () => Math.round(clamp(0.17 * window.innerHeight, 84, 170));

const DASHES = ["none", "7 3", "2 3", "9 3 2 3"];

function courseLanes(view) {
  const N = view.P.nodes;
  const lanes = new Map();
  for (let i = 0; i < N.n; i++) {
    if (N.kind[i] !== "state" || N.step[i] === null) continue;
    const key = laneKey(N.state[i], N.layer[i], N.reverse[i]);
    if (!lanes.has(key)) lanes.set(key, { name: `${N.state[i].slice(0, 8)}${N.layer[i] === null ? "" : `, layer ${N.layer[i]}`}${N.reverse[i] ? " reverse" : ""}`, nodes: [] });
    lanes.get(key).nodes.push(i);
  }
  for (const lane of lanes.values()) lane.nodes.sort((a, b) => N.step[a] - N.step[b]);
  return [...lanes.values()].slice(0, 12);
}

// From the largest norm of any lane to the smallest, thirty decades at most; the same for all
// loss steps, so that the lines can be compared as the step moves.
function courseRange(view) {
  const N = view.P.nodes;
  if (view.P.film) return filmRange(view.P.film);
  let [low, high] = [Infinity, -Infinity];
  const widen = (power) => { low = Math.min(low, power); high = Math.max(high, power); };
  if (view.state.loss !== null) view.P.loss.forEach((lane) => { widen(lane.low); widen(lane.high); });
  else view.lanes.forEach((lane) => lane.nodes.forEach((i) => {
    if (N.gradient_norm[i] > 0 && Number.isFinite(N.gradient_norm[i])) widen(Math.log10(N.gradient_norm[i]));
  }));
  if (low > high) return [-1, 0];
  return high - low < 1 ? [(low + high - 1) / 2, (low + high + 1) / 2] : [Math.max(low, high - 30), high];
}

// The line of one lane through all norms that are inside the range, and where it ends.
function coursePath(lane, steps, normOf, x, y, low, onBad) {
  let path = "";
  let open = false;
  let final = null;
  lane.nodes.forEach((i) => {
    const norm = normOf(i);
    if (norm === null || !(norm > 0) || !Number.isFinite(norm)) {
      if (norm !== null && !(norm === 0) && onBad) onBad(i, norm);
      open = false;
      return;
    }
    const inside = Math.log10(norm) >= low;
    if (!inside && !open) return;
    path += `${open ? "L" : "M"}${tidy(x(steps[i]))},${tidy(y(norm))}`;
    open = inside;
    final = y(norm);
  });
  return { path: path || "M0,0", final };
}

function drawCourse(view) {
  const { course, P, theme } = view;
  course.textContent = "";
  const steps = P.time ? view.steps : [];
  const hidden = steps.length < 3 || !P.gradients;
  course.classList.toggle("none", hidden);
  if (hidden) return;
  const N = P.nodes;
  view.lanes = view.lanes || courseLanes(view);
  view.range = courseRange(view);
  const width = Math.max(300, course.parentNode.clientWidth || 800);
  const height = chartHeight();
  const [left, right, top, bottom] = [58, width - 110, P.film ? 18 : 10, height - 22];
  const x = (step) => left + ((step - steps[0]) / (steps[steps.length - 1] - steps[0])) * (right - left);
  const [low, high] = view.range;
  const y = (norm) => bottom - clamp((Math.log10(norm) - low) / (high - low), 0, 1) * (bottom - top);
  set(course, { viewBox: `0 0 ${width} ${height}`, width, height });
  const text = (where, content, anchor, color) => course.appendChild(draw("text", { x: tidy(where[0]), y: tidy(where[1]), "font-size": 9, "text-anchor": anchor, fill: color || theme.faint_text }, content));
  Object.assign(new Scale(view.data, theme), { low, high }).samples(4).forEach((norm) => {
    course.appendChild(draw("path", { d: `M${left},${tidy(y(norm))}H${right}`, stroke: theme.cluster_line, "stroke-width": 0.7 }));
    text([left - 6, y(norm) + 3], numberText(norm), "end");
  });
  const ticks = Math.max(2, Math.min(10, Math.floor((right - left) / 90)));
  const stride = Math.max(1, Math.ceil((steps.length - 1) / ticks));
  for (let k = 0; k < steps.length; k += stride) text([x(steps[k]), height - 4], `t = ${stepName(P, steps[k])}`, "middle");
  // What the picture shows is marked below the chart.
  steps.forEach((step) => {
    if (view.state.shown.has(step)) course.appendChild(draw("path", { d: `M${tidy(x(step))},${bottom + 2}v4`, stroke: theme.text, "stroke-width": 1.2 }));
  });
  const ends = [];
  if (P.film) {
    const first = inFrame(view, 0);
    text([left, 8], "norm of the gradient at each time step; thin: the first frame", "start");
    view.lanes.forEach((lane, k) => {
      const { path } = coursePath(lane, N.step, (i) => nodeNorm(first, i), x, y, low);
      course.appendChild(draw("path", { d: path, fill: "none", stroke: theme.box_line, "stroke-width": 1, "stroke-dasharray": DASHES[k % 4] }));
    });
  }
  view.lanes.forEach((lane, k) => {
    const bad = (i, norm) => text([x(N.step[i]), top + 8], numberText(norm), "middle", theme.alarm);
    const { path, final } = coursePath(lane, N.step, (i) => nodeNorm(view, i), x, y, low, bad);
    const color = k % 2 ? theme.faint_text : theme.text;
    course.appendChild(draw("path", { d: path, fill: "none", stroke: color, "stroke-width": 1.8, "stroke-dasharray": DASHES[k % 4], "stroke-linejoin": "round" }));
    if (final !== null) ends.push({ y: final, name: lane.name, color, dash: DASHES[k % 4] });
  });
  ends.sort((a, b) => a.y - b.y);
  ends.forEach((end, k) => { end.y = Math.max(end.y, k ? ends[k - 1].y + 11 : top + 2); });
  const over = ends.length ? ends[ends.length - 1].y - bottom : 0;
  ends.forEach((end) => {
    const place = over > 0 ? end.y - over : end.y;
    course.appendChild(draw("path", { d: `M${right + 6},${tidy(place)}h18`, stroke: end.color, "stroke-width": 1.8, "stroke-dasharray": end.dash }));
    text([right + 28, place + 3], end.name, "start", end.color);
  });
  if (view.state.loss !== null) {
    const at = x(P.lossSteps[view.state.loss]);
    course.appendChild(draw("path", { d: `M${tidy(at)},${top - 4}V${bottom}`, stroke: theme.alarm, "stroke-width": 1.4 }));
    text([at > right - 60 ? at - 4 : at + 4, top + 2], `loss at ${stepName(P, P.lossSteps[view.state.loss])}`, at > right - 60 ? "end" : "start", theme.alarm);
  }
  view.stepAt = (px) => {
    const share = clamp((px - left) / (right - left), 0, 1);
    const wanted = steps[0] + share * (steps[steps.length - 1] - steps[0]);
    return steps.reduce((best, step) => (Math.abs(step - wanted) < Math.abs(best - wanted) ? step : best), steps[0]);
  };
}
