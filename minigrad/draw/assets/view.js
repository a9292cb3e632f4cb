// Start: read the data, build the page, and listen.

document.documentElement.className = "js";

function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const view = { data, number: 0, query: "", found: null, at: { x: 0, y: 0, k: 1 } };
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  frame(view);
  view.setTheme = (name) => {
    view.themeName = name;
    view.theme = data.themes[name];
    const { style } = document.documentElement;
    const colors = { background: "background", text: "text", faint: "faint_text", box: "box", line: "cluster_line" };
    Object.keys(colors).forEach((key) => style.setProperty(`--${key}`, view.theme[colors[key]]));
    style.setProperty("--accent", name === "dark" ? "#58a6ff" : "#0a66c2");
    style.setProperty("color-scheme", name);
    document.documentElement.setAttribute("data-theme", name);
    if (view.layout) { paint(view); view.refresh(); }
  };
  view.showPanel = (item) => showPanel(view, item);
  view.resized = () => {
    drawCourse(view);
    if (view.P.film) drawFilm(view);
  };
  view.refresh = () => {
    view.key.textContent = "";
    const width = legend(view, view.key);
    set(view.key, { width: tidy(width), viewBox: `0 0 ${tidy(width)} 18` });
    drawCourse(view);
    if (view.P.film) drawFilm(view);
    const chosen = itemOf(view, view.state.chosen);
    if (chosen) showPanel(view, chosen);
  };
  view.open = (number) => open(view, number);
  addSearch(view);
  addPointer(view);
  addKeys(view);
  view.setTheme(data.theme === "auto" ? (prefersDark.matches ? "dark" : "light") : data.theme);
  prefersDark.addEventListener("change", (event) => { if (data.theme === "auto") view.setTheme(event.matches ? "dark" : "light"); });
  window.addEventListener("resize", () => view.resized());
  open(view, 0);
}

function open(view, number) {
  stop(view);
  if (view.stopFilm) view.stopFilm();
  const raw = view.data.pictures[number];
  const P = readPicture(raw, view.data.digits);
  Object.assign(view, { P, number, layout: null, lanes: null, found: null });
  view.state = { shown: new Set(P.steps), closed: new Set(), loss: null, off: new Set(), chosen: null, measure: view.data.measure };
  if (P.film) openFilm(view);
  if (P.time) {
    timeColumns(P, view.state.shown);
    view.steps = P.time.read.steps;
    view.few = P.steps.length < view.steps.length ? P.steps : [...view.steps.slice(0, 2), ...view.steps.slice(-3)];
  } else [view.steps, view.few] = [[], []];
  const title = P.title || "Computation graph";
  view.heading.textContent = title;
  tell(view);
  view.title.textContent = title;
  view.desc.textContent = `${P.diagnosis.join(" ")} ${P.nodes.n} boxes, ${P.edges.n} lines. Arrow keys move from box to box, Enter opens, Delete leaves out a step or closes a scope, slash searches, f fits.${P.film ? " Comma and full stop go to the frame before and after." : ""}`.trim();
  fillTools(view);
  rebuild(view, null);
  begin(view);
}

function tell(view) {
  view.diagnosis.textContent = "";
  view.P.diagnosis.forEach((line) => view.diagnosis.appendChild(make("p", {}, line)));
}

function addSearch(view) {
  let place = -1;
  view.matches = [];
  view.search = (query, fresh) => {
    view.query = query;
    if (fresh) place = -1;
    const words = query.trim().toLowerCase();
    const { nodes: N } = view.P;
    view.matches = [];
    view.found = new Set();
    if (words) {
      for (let i = 0; i < N.n; i++) {
        const item = view.layout.byNode[i];
        if (!item) continue;
        const step = N.step[i] === null ? "" : stepName(view.P, N.step[i]);
        const short = N.kind[i] === "state" ? `${N.state[i]}${step}` : "";
        const where = step === "" ? "" : `t=${step}`;
        const fields = [N.label[i], N.name[i], N.op[i], N.kind[i], N.scope[i], N.detail[i], N.type[i]];
        if (short.toLowerCase() === words || where === words.replace(/\s/g, "") || fields.some((text) => text.toLowerCase().includes(words))) {
          view.matches.push(i);
          view.found.add(item.key);
        }
      }
    }
    const known = view.matches.length;
    view.count.textContent = !words ? "" : place >= 0 && known ? `${place + 1} of ${known}` : known ? `${known} found` : "none found";
    if (fresh) paint(view);
  };
  view.next = (direction) => {
    const known = view.matches.length;
    if (!known) return;
    place = place < 0 ? (direction > 0 ? 0 : known - 1) : (place + direction + known) % known;
    const item = reveal(view, view.matches[place]);
    if (!item) return;
    center(view, item);
    choose(view, item, false);
    view.count.textContent = `${place + 1} of ${known}`;
    view.say(itemName(view, item));
  };
}

// The box, line or scope under an element, by the key that it carries.
function targetOf(view, element) {
  const holder = element instanceof Element ? element.closest("[data-key]") : null;
  if (!holder || !view.svg.contains(holder)) return {};
  const key = holder.getAttribute("data-key");
  if (holder.classList.contains("edge")) return { link: view.layout.links.find((link) => link.key === key) };
  if (holder.classList.contains("cluster")) return { cluster: view.layout.clusters.find((box) => box.element === holder) };
  if (holder.classList.contains("step")) return { column: view.layout.columns.find((column) => column.key === key) };
  return { item: itemOf(view, key) };
}

function act(view, target, px, py) {
  const { item, link, cluster, column } = target;
  if (link) jumpAlong(view, link, px, py);
  else if (cluster) {
    view.state.closed.add(cluster.id);
    rebuild(view, null);
    choose(view, itemOf(view, `c${cluster.id}`), true);
  } else if (column) {
    if (column.gap) openGap(view, column);
    else if (!column.wide) hideStep(view, column.step);
  } else if (item && item.gap) openGap(view, item.column);
  else if (item && item.cluster !== undefined) {
    view.state.closed.delete(item.cluster);
    rebuild(view, null);
    choose(view, view.layout.byNode[item.nodes[0]], true);
  } else choose(view, item || null, Boolean(item));
}

function showCard(view, rows, px, py) {
  const { card, svg } = view;
  card.hidden = !rows;
  if (!rows) return;
  fillCard(card, rows);
  const x = px + 18 + card.offsetWidth > svg.clientWidth ? Math.max(4, px - 14 - card.offsetWidth) : px + 18;
  const y = clamp(py + 14, 4, Math.max(4, svg.clientHeight - card.offsetHeight - 4));
  card.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
}

function rowsOf(view, { item, link, cluster, column }) {
  if (item) return describeItem(view, item);
  if (link) return describeLink(view, link);
  if (cluster) return [["", `scope ${cluster.name}`], ["", "Click to close it into one box."]];
  if (column) return [["", stepsName(view.P, column.step, column.gap ? column.last : null)], ["", column.gap ? "Click to show more of these steps." : "Click to leave this step out."]];
  return null;
}

function addPointer(view) {
  const { svg } = view;
  const pointers = new Map();
  let start = null;
  let moved = false;
  const local = (event) => {
    const box = svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, local(event));
    start = local(event);
    moved = pointers.size > 1;
  });
  window.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) {
      if (!svg.contains(event.target)) { view.card.hidden = true; return; }
      showCard(view, rowsOf(view, targetOf(view, event.target)), ...local(event));
      return;
    }
    const before = pointers.get(event.pointerId);
    const now = local(event);
    if (!moved && Math.hypot(now[0] - start[0], now[1] - start[1]) < 4) return;
    moved = true;
    view.card.hidden = true;
    svg.classList.add("moving");
    if (pointers.size === 1) pan(view, now[0] - before[0], now[1] - before[1]);
    else {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const size = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      zoom(view, size(now) / size(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    pointers.set(event.pointerId, now);
  });
  const release = (event) => {
    const had = pointers.delete(event.pointerId);
    svg.classList.remove("moving");
    if (had && !moved && event.type === "pointerup" && svg.contains(event.target)) {
      view.card.hidden = true;
      act(view, targetOf(view, event.target), ...local(event));
    }
  };
  window.addEventListener("pointerup", release);
  window.addEventListener("pointercancel", release);
  svg.addEventListener("pointerleave", () => { view.card.hidden = true; });
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(view, Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : event.ctrlKey ? 0.01 : 0.0016)), ...local(event));
  }, { passive: false });
  view.course.addEventListener("click", (event) => {
    const step = view.stepAt(event.clientX - view.course.getBoundingClientRect().left);
    const i = view.P.nodes.step.findIndex((one, k) => one === step && view.P.nodes.kind[k] === "state");
    const item = i < 0 ? null : reveal(view, i);
    if (item) { center(view, item); choose(view, item, false); }
  });
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function addKeys(view) {
  const { svg } = view;
  svg.addEventListener("keydown", (event) => {
    const target = targetOf(view, event.target);
    const arrow = ARROWS[event.key];
    if (arrow && event.shiftKey) pan(view, -60 * arrow[0], -60 * arrow[1]);
    else if (arrow && target.item) {
      const next = neighbour(view, target.item, ...arrow);
      if (next) { choose(view, next, true); intoView(view, next); }
    } else if (event.key === "Enter" || event.key === " ") act(view, target, 0, 0);
    else if (event.key === "Backspace" || event.key === "Delete") leave(view, target.item);
    else if (event.key === "Escape") choose(view, null, false);
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
    const actions = {
      "/": () => view.input.focus(), "+": () => zoom(view, 1.25), "=": () => zoom(view, 1.25), "-": () => zoom(view, 0.8),
      f: () => fit(view), 0: () => fit(view),
    };
    if (view.P.film) Object.assign(actions, { ",": () => stepFilm(view, -1), ".": () => stepFilm(view, 1) });
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
}

// By keyboard: leave out the step of a box, or close the scope around it.
function leave(view, item) {
  if (!item || item.gap) return;
  if (view.P.time && item.column) return void hideStep(view, item.column.step);
  const c = view.P.boxes ? view.P.boxes.cluster[item.nodes[0]] : -1;
  if (item.cluster === undefined && c >= 0) act(view, { cluster: { id: c } }, 0, 0);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
