// Moving about: pan, zoom, fit, from box to box, and opening what is closed.

const MOST_SHOWN = 240;

function place(view) {
  const { x, y, k } = view.at;
  view.world.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${k.toFixed(4)})`);
  // The name of a bar that reaches over many steps stays in sight.
  const middle = (stageSize(view)[0] / 2 - x) / k;
  view.layout.items.forEach((item) => {
    const room = item.w / 2 - 60;
    if (item.bar && room > 0) item.lines.forEach((line) => line.setAttribute("x", tidy(clamp(middle, item.x - room, item.x + room))));
  });
}

const stageSize = (view) => [view.svg.clientWidth || 800, view.svg.clientHeight || 500];

function fit(view) {
  const [x0, y0, x1, y1] = view.bounds;
  const [width, height] = stageSize(view);
  const k = clamp(Math.min(width / (x1 - x0), height / (y1 - y0)), 0.02, 1.6);
  view.at = { k, x: (width - k * (x0 + x1)) / 2, y: (height - k * (y0 + y1)) / 2 };
  place(view);
}

// At first, a picture that would be too small to read starts at its end, where the loss is.
function begin(view) {
  fit(view);
  const [x0, y0, x1, y1] = view.bounds;
  const [width, height] = stageSize(view);
  if (view.at.k >= 0.55) return;
  const k = clamp(height / (y1 - y0), 0.7, 0.9);
  const end = view.P.time ? null : lastItem(view);
  // As near to the middle as the borders of the picture allow; what is smaller than the stage is in its middle.
  const along = (size, low, high, at) => (k * (high - low) < size ? (size - k * (low + high)) / 2 : clamp(size / 2 - k * at, size - k * high, -k * low));
  view.at = { k, x: along(width, x0, x1, end ? end.x : x1), y: along(height, y0, y1, end ? end.y : (y0 + y1) / 2) };
  place(view);
}

// The item of the last box that nothing reads.
function lastItem(view) {
  const { nodes } = view.P;
  for (let i = nodes.n - 1; i >= 0; i--) if (!nodes.out[i].length && nodes.into[i].length) return view.layout.byNode[i];
  return null;
}

function zoom(view, factor, px, py) {
  const [width, height] = stageSize(view);
  const [cx, cy] = px === undefined ? [width / 2, height / 2] : [px, py];
  const k = clamp(view.at.k * factor, 0.02, 8);
  const part = k / view.at.k;
  view.at = { k, x: cx - (cx - view.at.x) * part, y: cy - (cy - view.at.y) * part };
  place(view);
}

function pan(view, dx, dy) {
  view.at.x += dx;
  view.at.y += dy;
  place(view);
}

function center(view, item) {
  const [width, height] = stageSize(view);
  const k = Math.max(view.at.k, 0.7);
  const x = item.bar ? clamp((width / 2 - view.at.x) / view.at.k, item.x - item.w / 2, item.x + item.w / 2) : item.x;
  view.at = { k, x: width / 2 - k * x, y: height / 2 - k * item.y };
  place(view);
}

const itemOf = (view, key) => view.layout.items.find((item) => item.key === key) || null;

function choose(view, item, focus) {
  view.state.chosen = item ? item.key : null;
  view.layout.items.forEach((one) => {
    one.element.classList.toggle("chosen", one === item);
    one.element.setAttribute("tabindex", one === item ? "0" : "-1");
  });
  if (!item && view.layout.items.length) view.layout.items[0].element.setAttribute("tabindex", "0");
  if (item && focus) item.element.focus({ preventScroll: true });
  const before = view.panel.hidden;
  view.showPanel(item);
  // The panel takes room from the picture, and the box must stay in sight.
  if (item && before !== view.panel.hidden) intoView(view, item);
}

function jump(view, item) {
  center(view, item);
  choose(view, item, true);
}

// The other end of a line is the one farther from where it was clicked.
function jumpAlong(view, link, px, py) {
  const [x, y] = [(px - view.at.x) / view.at.k, (py - view.at.y) / view.at.k];
  const far = (item) => Math.hypot(clamp(x, item.x - item.w / 2, item.x + item.w / 2) - x, clamp(y, item.y - item.h / 2, item.y + item.h / 2) - y);
  jump(view, far(link.a) > far(link.b) ? link.a : link.b);
}

// The next box in a direction: near, and not far off to the side.
function neighbour(view, item, dx, dy) {
  let best = null;
  let least = Infinity;
  view.layout.items.forEach((one) => {
    if (one === item) return;
    const [x, y] = [one.x - item.x, one.y - item.y];
    const along = x * dx + y * dy;
    const aside = Math.abs(x * dy) + Math.abs(y * dx);
    if (along < 1 || aside > 3 * along + 10) return;
    const cost = along + 2.5 * aside;
    if (cost < least) [least, best] = [cost, one];
  });
  return best;
}

function intoView(view, item) {
  const [width, height] = stageSize(view);
  const [x, y] = [item.x * view.at.k + view.at.x, item.y * view.at.k + view.at.y];
  const inside = (at, size, whole) => {
    const margin = Math.min(Math.max(60, (size * view.at.k) / 2 + 12), whole / 2);
    return clamp(at, margin, whole - margin) - at;
  };
  pan(view, item.bar ? 0 : inside(x, item.w, width), inside(y, item.h, height));
}

function showSteps(view, steps) {
  const { shown } = view.state;
  let left = false;
  steps.forEach((step) => {
    if (shown.has(step)) return;
    if (shown.size >= MOST_SHOWN) left = true;
    else shown.add(step);
  });
  view.say(left ? `${MOST_SHOWN} steps are shown, which is the most at once.` : `${shown.size} steps are shown.`);
}

function openGap(view, column) {
  const inside = view.steps.slice(column.from, column.to + 1);
  showSteps(view, inside.length <= 24 ? inside : [...inside.slice(0, 8), ...inside.slice(-8)]);
  rebuild(view, `s${inside[inside.length - 1]}`);
}

function hideStep(view, step) {
  const { shown } = view.state;
  const at = view.steps.indexOf(step);
  shown.delete(step);
  const near = [view.steps[at - 1], view.steps[at + 1]].filter((one) => one !== undefined);
  // A box for a single step would be no smaller than the step itself, so two go at once.
  if (near.every((one) => shown.has(one)) && shown.size > 1) shown.delete(near[0]);
  view.say(`${shown.size} steps are shown.`);
  rebuild(view, null);
}

// Show a node wherever it is hidden, and return its box.
function reveal(view, i) {
  const { P, state } = view;
  let changed = false;
  if (P.time) {
    const step = P.nodes.step[i];
    const at = view.steps.indexOf(step);
    if (at >= 0 && !state.shown.has(step)) {
      showSteps(view, view.steps.slice(Math.max(0, at - 1), at + 2));
      changed = true;
    }
  } else {
    for (let c = P.boxes.cluster[i]; c >= 0; c = P.boxes.cluster_parents[c]) changed = state.closed.delete(c) || changed;
  }
  if (changed) rebuild(view, null);
  return view.layout.byNode[i];
}

// Lay out and draw again; the picture stays where it was, held by the middle of what is seen.
function rebuild(view, anchor) {
  const [width] = stageSize(view);
  const middle = (width / 2 - view.at.x) / view.at.k;
  const before = view.layout;
  let held = null;
  if (before) {
    const known = before.columns.length ? before.columns : before.items;
    const nearest = known.slice().sort((a, b) => Math.abs(a.x - middle) - Math.abs(b.x - middle));
    held = nearest.map((one) => ({ key: one.key, x: one.x, y: one.y || 0 }));
  }
  view.layout = view.P.time ? timeLayout(view.P, view.state) : boxesLayout(view.P, view.state);
  build(view);
  view.search(view.query, false);
  paint(view);
  view.refresh();
  if (held) {
    const places = new Map((view.layout.columns.length ? view.layout.columns : view.layout.items).map((one) => [one.key, one]));
    const same = (anchor && places.has(anchor) ? [{ key: anchor, x: middle, y: 0 }] : held).find((one) => places.has(one.key));
    if (same) {
      const now = places.get(same.key);
      view.at.x += (same.x - now.x) * view.at.k;
      if (!view.layout.columns.length) view.at.y += (same.y - now.y) * view.at.k;
    }
    place(view);
  }
  choose(view, itemOf(view, view.state.chosen), false);
}
