// Colours and widths: everything that the theme, the loss step or a route can change.

function paint(view) {
  const { theme, layout } = view;
  const scale = new Scale(view.data, theme);
  view.scale = scale;
  set(view.svg, { "font-family": FONT });
  set(view.paper, { fill: theme.background });
  layout.clusters.forEach((box) => {
    set(box.frame, { fill: theme.cluster, stroke: theme.cluster_line });
    set(box.label, { fill: theme.faint_text });
  });
  layout.texts.forEach((text) => set(text.element, { fill: text.faint ? theme.faint_text : theme.text }));
  view.pens = new Set();
  view.timeScale = view.P.times ? new TimeScale(view.data, theme, view.P.times) : null;
  view.measure = view.state.measure === "share" ? new ShareScale(view.data, theme) : scale;
  layout.links.forEach((link) => paintLink(view, link, view.measure));
  layout.items.forEach((item) => paintItem(view, item, scale));
}

function paintLink(view, link, scale) {
  const { theme } = view;
  if (link.line) {
    const elided = link.edges.some((e) => view.P.edges.kind[e] === 1) && !view.P.time;
    set(link.line, { stroke: theme.forward, "stroke-dasharray": elided ? "5 3" : "none" });
    set(link.head, { fill: theme.forward });
  }
  if (!link.flow) return;
  const pen = scale.pen(linkMeasure(view, link));
  link.pen = pen;
  const known = pen.kind !== "unknown" && view.P.gradients;
  const show = (element, yes) => set(element, { visibility: yes ? "visible" : "hidden" });
  [link.flow, link.tip].forEach((element) => show(element, known));
  show(link.inner, pen.kind === "nonfinite");
  if (link.number) {
    show(link.number, known);
    link.number.textContent = pen.text;
    set(link.number, {
      fill: pen.kind === "nonfinite" ? theme.alarm : theme.text,
      stroke: theme.background, "stroke-width": 2.4, "paint-order": "stroke", "stroke-linejoin": "round",
    });
  }
  if (!known) return;
  view.pens.add(pen.kind);
  const size = 0.5 + 0.035 * pen.width;
  const cut = 10 * size + 0.25 * pen.width;
  set(link.flow, { d: curve(link.back, cut), stroke: pen.color, "stroke-width": pen.width, "stroke-dasharray": pen.dash || "none" });
  set(link.tip, { points: arrowHead(link.back, cut, 3.2 * size + 0.55 * pen.width), fill: pen.color });
  if (pen.kind === "nonfinite") set(link.inner, { d: curve(link.back, cut), stroke: theme.background, "stroke-width": 1.6 });
}

function paintItem(view, item, scale) {
  const { theme } = view;
  const N = view.P.nodes;
  const i = item.nodes[0];
  let [fill, line, ink] = [theme.box, theme.box_line, theme.text];
  let [dash, width] = ["none", item.kind === "group" ? 1.5 : 1];
  if (item.kind === "parameter") [fill, line] = [theme.parameter, theme.parameter_line];
  if (item.kind === "input") [fill, line] = [theme.input, theme.input_line];
  if (item.kind === "constant") [fill, dash] = [theme.constant, "4 3"];
  if (item.kind === "elided") [fill, dash] = [theme.background, "4 3"];
  if (view.timeScale && item.cluster === undefined && N.seconds[i] > 0) {
    const color = view.timeScale.color(1000 * N.seconds[i]);
    [fill, ink] = [hexadecimal(color), contrasting(color)];
  }
  const broken = item.nodes.some((k) => N.fault[k] || N.value_finite[k] === 0 || N.gradient_finite[k] === 0);
  if (broken && item.kind !== "state" && !item.strip) [line, width] = [theme.alarm, 3];
  if (item.kind === "state" && view.P.time && view.P.gradients) {
    const norm = nodeNorm(view, i);
    const pen = scale.pen(norm);
    if (norm !== null) {
      view.pens.add(pen.kind);
      if (pen.kind === "zero") [line, dash] = [theme.zero, "1 3"];
      else if (pen.kind === "nonfinite") [fill, line, ink, width] = [theme.background, theme.alarm, theme.alarm, 3];
      else {
        const color = scale.color(norm);
        [fill, line, ink] = [hexadecimal(color), hexadecimal(color), contrasting(color)];
        if (pen.dash) [line, dash] = [theme.text, "3 2"];
      }
    }
  }
  if (item.strip) {
    [fill, line] = ["transparent", "none"];
    item.strip.forEach(({ part, nodes }) => {
      const norms = nodes.map((k) => nodeNorm(view, k)).filter((norm) => norm !== null);
      const bad = norms.find((norm) => !Number.isFinite(norm));
      const pen = scale.pen(bad !== undefined ? bad : norms.length ? Math.max(...norms) : null);
      const none = pen.kind === "unknown" || !view.P.gradients;
      set(part, { stroke: none ? theme.forward : pen.color, "stroke-width": none ? 0.8 : pen.width, "stroke-dasharray": pen.kind === "zero" ? "1 4" : "none" });
    });
  }
  if (item.tag) [fill, line, ink] = ["transparent", "none", theme.faint_text];
  set(item.frame, { fill, stroke: line, "stroke-dasharray": dash, "stroke-width": width });
  const lines = boxText(view, item);
  item.lines.forEach((text, row) => {
    text.textContent = lines[row] || "";
    set(text, { fill: row && !view.P.time && ink === theme.text ? theme.faint_text : ink });
    if (item.strip) set(text, { stroke: theme.background, "stroke-width": 2.4, "paint-order": "stroke" });
  });
  const marked = view.found && view.found.has(item.key);
  item.element.classList.toggle("found", Boolean(marked));
  item.element.classList.toggle("chosen", view.state.chosen === item.key);
  item.element.setAttribute("aria-label", itemName(view, item));
}

// The legend as one SVG group, for the page and for the exported picture; returns its width.
function legend(view, parent) {
  const { theme, measure, P } = view;
  let x = 0;
  const word = (text, color) => {
    const element = draw("text", { x: tidy(x), y: 12, "font-size": 10, fill: color || theme.faint_text }, text);
    parent.appendChild(element);
    x += 5 * text.length + 12;
  };
  const bar = (width, color, dash) => {
    parent.appendChild(draw("path", { d: `M${tidy(x)},8.5h28`, stroke: color, "stroke-width": width, "stroke-dasharray": dash || "none" }));
    x += 32;
  };
  if (view.timeScale) {
    word(view.timeScale.quantity, theme.text);
    view.timeScale.samples(6).forEach((time) => {
      parent.appendChild(draw("rect", { x: tidy(x), y: 3, width: 18, height: 11, rx: 3, fill: hexadecimal(view.timeScale.color(time)) }));
      x += 23;
      word(view.timeScale.text(time));
    });
  }
  if (P.gradients) {
    word(measure.quantity, theme.text);
    measure.samples(6).forEach((norm) => {
      const pen = measure.pen(norm);
      bar(pen.width, pen.color);
      word(measure.text(norm));
    });
  }
  bar(0.8, theme.forward);
  word("values, forward");
  if (view.pens.has("low") || view.pens.has("high")) { bar(2.5, theme.text, "6 3"); word("beyond the scale"); }
  if (view.pens.has("negative")) { bar(2.5, theme.text, "6 3"); word("negative: against the sum"); }
  if (view.pens.has("zero")) { bar(1.6, theme.zero, "1 4"); word("exactly 0"); }
  if (view.pens.has("nonfinite")) { bar(4, theme.alarm); parent.appendChild(draw("path", { d: `M${tidy(x - 32)},8.5h28`, stroke: theme.background, "stroke-width": 1.6 })); word("NaN or Inf"); }
  const kinds = new Set(view.layout.items.map((item) => item.kind));
  const looks = {
    parameter: [theme.parameter, theme.parameter_line, "parameter"], input: [theme.input, theme.input_line, "input"],
    constant: [theme.constant, theme.box_line, "constant"], elided: [theme.background, theme.box_line, "steps left out"],
  };
  Object.keys(looks).forEach((kind) => {
    if (!kinds.has(kind) || (kind === "parameter" && P.time)) return;
    const [fill, line, text] = looks[kind];
    const dash = kind === "elided" || kind === "constant" ? "3 2" : "none";
    parent.appendChild(draw("rect", { x: tidy(x), y: 3, width: 18, height: 11, rx: 3, fill, stroke: line, "stroke-dasharray": dash }));
    x += 23;
    word(text);
  });
  return x;
}
