// The page around the picture: heading, tools, panel, legend. All text goes in as text.

function button(text, label, action) {
  const element = make("button", { type: "button", "aria-label": /^[A-Za-z]/.test(text) ? null : label, title: label || null }, text);
  element.addEventListener("click", action);
  return element;
}

function frame(view) {
  const page = make("div", { id: "page" });
  const header = make("header");
  view.heading = make("h1");
  view.diagnosis = make("div", { class: "diagnosis" });
  header.append(view.heading, view.diagnosis);
  view.tools = make("div", { class: "bar", role: "toolbar", "aria-label": "tools" });
  view.times = make("div", { class: "bar" });
  const middle = make("div", { id: "middle" });
  view.svg = draw("svg", { id: "stage", role: "group", "aria-labelledby": "picture-title", "aria-describedby": "picture-text" });
  view.title = draw("title", { id: "picture-title" });
  view.desc = draw("desc", { id: "picture-text" });
  view.paper = draw("rect", { width: "100%", height: "100%" });
  view.world = draw("g");
  view.svg.append(view.title, view.desc, view.paper, view.world);
  view.card = make("div", { id: "card", role: "tooltip", hidden: "" });
  view.panel = make("aside", { hidden: "", "aria-label": "chosen box" });
  middle.append(view.svg, view.card, view.panel);
  const footer = make("footer");
  const keys = make("div", { class: "keys" });
  view.key = draw("svg", { id: "key", role: "img", "aria-label": "legend" });
  keys.appendChild(view.key);
  view.course = draw("svg", { id: "course", role: "img", "aria-label": "gradient norm over all time steps" });
  view.charts = make("div", { class: "charts" });
  const chart = make("div", { class: "chart wide" });
  chart.appendChild(view.course);
  view.charts.appendChild(chart);
  footer.append(view.charts, keys);
  view.status = make("div", { class: "hidden-text", role: "status" });
  view.say = (text) => { view.status.textContent = text; };
  page.append(header, view.tools, view.times, middle, footer, view.status);
  document.body.appendChild(page);
}

function fillTools(view) {
  const { tools, P, state } = view;
  tools.textContent = "";
  if (view.data.pictures.length > 1) {
    const select = make("select", { "aria-label": "picture" });
    view.data.pictures.forEach((one, k) => select.appendChild(make("option", { value: k }, one.name || one.title || `picture ${k + 1}`)));
    select.value = String(view.number);
    select.addEventListener("change", () => view.open(Number(select.value)));
    tools.appendChild(select);
  }
  view.input = make("input", { type: "search", placeholder: "Search", "aria-label": "search boxes", autocomplete: "off", spellcheck: "false" });
  view.input.value = view.query;
  view.count = make("span", { class: "count", role: "status" });
  view.input.addEventListener("input", () => view.search(view.input.value, true));
  view.input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); view.next(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { view.input.value = ""; view.search("", true); }
  });
  const zooms = make("span", { class: "group" });
  zooms.append(
    button("\u2212", "zoom out", () => zoom(view, 0.8)), button("+", "zoom in", () => zoom(view, 1.25)),
    button("Fit", "fit the picture into the window", () => fit(view)),
  );
  tools.append(view.input, view.count, zooms);
  if (P.time && view.steps.length > 2) {
    const all = view.steps.length <= MOST_SHOWN;
    if (all) tools.appendChild(button("All steps", "show every time step", () => { showSteps(view, view.steps); rebuild(view, null); begin(view); }));
    if (P.steps.length < view.steps.length || all) tools.appendChild(button("Fewer steps", "show the first, last and interesting time steps", () => { state.shown = new Set(view.few); rebuild(view, null); fit(view); }));
  }
  if (P.boxes && P.boxes.cluster_names.length) {
    tools.append(
      button("Close scopes", "close all scopes", () => { P.boxes.cluster_parents.forEach((parent, c) => { if (parent < 0) state.closed.add(c); }); rebuild(view, null); fit(view); }),
      button("Open scopes", "open all scopes", () => { state.closed.clear(); rebuild(view, null); fit(view); }),
    );
  }
  if (P.edges.share.some((share) => share !== null)) {
    const select = make("select", { "aria-label": "what the lines show" });
    ["norm", "share"].forEach((name) => select.appendChild(make("option", { value: name }, name === "norm" ? "Lines: norm" : "Lines: share")));
    select.value = state.measure;
    select.addEventListener("change", () => {
      state.measure = select.value;
      paint(view);
      view.refresh();
    });
    tools.appendChild(select);
  }
  tools.append(make("span", { class: "grow" }), button("Light or dark", "change between light and dark", () => view.setTheme(view.themeName === "dark" ? "light" : "dark")), button("Save SVG", "save the picture as shown", () => save(view)));
  fillTimes(view);
}

function fillTimes(view) {
  const { times, P, state } = view;
  times.textContent = "";
  times.classList.toggle("none", !P.lossSteps.length && !P.routeNames.length && !P.film);
  if (P.film) fillFilm(view);
  if (P.lossSteps.length) {
    const last = P.lossSteps.length;
    const label = make("label", { for: "scrub" }, "Loss at step");
    view.scrub = make("input", { type: "range", id: "scrub", min: 0, max: last, step: 1 });
    view.scrub.value = String(state.loss === null ? last : state.loss);
    view.shownLoss = make("output", { for: "scrub" });
    const apply = () => {
      const value = Number(view.scrub.value);
      state.loss = value >= last ? null : value;
      lossText(view);
      paint(view);
      view.refresh();
    };
    view.scrub.addEventListener("input", apply);
    view.play = button("Play", "move the loss step through time", () => {
      if (view.timer) return stop(view);
      view.play.textContent = "Stop";
      view.timer = setInterval(() => {
        view.scrub.value = String((Number(view.scrub.value) + 1) % (last + 1));
        apply();
      }, Math.max(60, 6000 / last));
      return undefined;
    });
    const group = make("span", { class: "group scrub" });
    group.append(label, view.scrub, view.shownLoss, view.play);
    times.append(group);
    lossText(view);
  }
  if (P.routeNames.length) {
    view.routeField = make("fieldset");
    view.routeField.appendChild(make("legend", {}, "Routes"));
    P.routeNames.forEach((name) => {
      const box = make("input", { type: "checkbox" });
      box.checked = !state.off.has(name);
      box.addEventListener("change", () => {
        if (box.checked) state.off.delete(name);
        else state.off.add(name);
        paint(view);
        view.refresh();
      });
      const label = make("label");
      label.append(box, make("span", { dir: "auto" }, shorten(name, 32)));
      view.routeField.appendChild(label);
    });
    times.appendChild(view.routeField);
    lossText(view);
  }
}

function stop(view) {
  clearInterval(view.timer);
  view.timer = null;
  if (view.play) view.play.textContent = "Play";
}

function lossText(view) {
  const { P, state } = view;
  const text = state.loss === null ? "all steps together" : `step ${stepName(P, P.lossSteps[state.loss])} alone`;
  if (view.shownLoss) {
    view.shownLoss.textContent = text;
    view.scrub.setAttribute("aria-valuetext", text);
  }
  if (view.routeField) view.routeField.disabled = state.loss !== null;
}

function showPanel(view, item) {
  const { panel, P } = view;
  const wasOpen = !panel.hidden;
  panel.textContent = "";
  panel.hidden = !item || item.opens;
  if (wasOpen === panel.hidden) view.resized();
  if (panel.hidden) return;
  const { nodes: N, edges: E } = P;
  const i = item.nodes[0];
  panel.appendChild(Object.assign(button("\u00d7", "close the panel", () => choose(view, null, false)), { className: "close" }));
  const details = make("div");
  fillCard(details, describeItem(view, item));
  panel.appendChild(details);
  const list = (title, edges, end) => {
    if (!edges.length) return;
    panel.appendChild(make("h2", {}, title));
    const items = make("ul");
    edges.slice(0, 40).forEach((e) => {
      const norm = edgeNorm(view, e);
      const share = E.share[e] !== null && view.state.loss === null ? `, ${percent(E.share[e])}` : "";
      const text = `${nodeName(view, end(e))}${norm === null ? "" : `: ${numberText(norm)}${share}`}`;
      const row = make("li");
      row.appendChild(button(text, null, () => {
        const to = reveal(view, end(e));
        if (to) jump(view, to);
      }));
      items.appendChild(row);
    });
    panel.appendChild(items);
    if (edges.length > 40) panel.appendChild(make("p", { class: "hint" }, `and ${edges.length - 40} more`));
  };
  list(P.gradients ? "Read by; its gradient comes from" : "Read by", N.out[i], (e) => E.target[e]);
  list(P.gradients ? "Reads; passes gradient on to" : "Reads", N.into[i], (e) => E.source[e]);
}

// The picture as it is shown now, whole, with heading and legend, as a file of its own.
function exported(view) {
  const { theme, bounds, P } = view;
  const { state } = view;
  const chosen = [];
  if (state.loss !== null) chosen.push(`Shown: the gradient of the loss at step ${stepName(P, P.lossSteps[state.loss])} alone.`);
  if (state.off.size) chosen.push(`Shown: the gradient without the routes ${[...state.off].join(", ")}.`);
  const lines = [P.title, ...(P.film ? [filmText(view)] : []), ...P.diagnosis, ...chosen].filter((line) => line);
  const key = draw("g");
  const wide = legend(view, key);
  const [x0, y0, x1, y1] = bounds;
  const top = y0 - 18 * lines.length - 14;
  const longest = Math.max(...lines.map((line, k) => (k ? 6.1 : 9) * Array.from(line).length), 0);
  const width = Math.max(x1 - x0, wide + 24, Math.min(longest + 24, 1600));
  const height = y1 - top + 34;
  const svg = draw("svg", { xmlns: SVG, viewBox: [x0, top, width, height].map(tidy).join(" "), width: tidy(width), height: tidy(height), "font-family": FONT, role: "img" });
  svg.append(draw("title", {}, P.title), draw("desc", {}, P.diagnosis.join(" ")));
  svg.appendChild(draw("rect", { x: tidy(x0), y: tidy(top), width: tidy(width), height: tidy(height), fill: theme.background }));
  lines.forEach((line, k) => svg.appendChild(draw("text", { x: tidy(x0 + 12), y: tidy(top + 20 + 18 * k), "font-size": k || !P.title ? 12 : 16, "font-weight": k || !P.title ? null : "bold", fill: k ? theme.faint_text : theme.text }, line)));
  const world = view.world.cloneNode(true);
  world.removeAttribute("transform");
  world.querySelectorAll(".edge").forEach((edge) => edge.remove());
  world.querySelectorAll("*").forEach((element) => ["tabindex", "role", "data-key", "aria-label", "aria-expanded", "class"].forEach((name) => element.removeAttribute(name)));
  key.setAttribute("transform", `translate(${tidy(x0 + 12)} ${tidy(y1 + 8)})`);
  svg.append(world, key);
  return new XMLSerializer().serializeToString(svg);
}

function save(view) {
  const file = new Blob([exported(view)], { type: "image/svg+xml" });
  const link = make("a", { href: URL.createObjectURL(file), download: "graph.svg" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
