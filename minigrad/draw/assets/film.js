// A film of training: each frame has numbers for the same boxes and lines.

function openFilm(view) {
  const { P } = view;
  const { film } = P;
  const count = film.frames.length;
  film.steps = unpack(film.steps, count);
  film.losses = film.losses.map((loss) => (loss === null ? NaN : Number(loss)));
  film.gates.forEach((gate) => Object.assign(gate, { cell: film.texts[gate.cell], name: film.texts[gate.name] }));
  film.cells = [...new Set(film.gates.map((gate) => gate.cell))];
  film.cell = film.cells[film.cells.length - 1];
  film.number = 0;
  useFrame(P, 0);
}

// A frame as the rest of the script reads it; it is unpacked when it is first shown.
function frameOf(P, k) {
  const { film } = P;
  const raw = film.frames[k];
  if (!raw.read) {
    const numbers = (column, count) => unpack(column, count).map((value) => (typeof value === "string" ? Number(value) : value));
    const finite = (norms) => norms.map((norm) => (norm === null ? null : Number(Number.isFinite(norm))));
    const gradient = numbers(raw.gradient_norm, P.nodes.n);
    const value = numbers(raw.value_norm, P.nodes.n);
    raw.read = {
      nodes: { gradient_norm: gradient, gradient_finite: finite(gradient), value_norm: value, value_finite: finite(value) },
      edges: { norm: numbers(raw.edge_norm, P.edges.n), share: numbers(raw.edge_share, P.edges.n) },
      loss: readLanes(raw.loss, film.texts), routes: readLanes(raw.routes, film.texts),
      gates: raw.gates.map((parts, g) => parts && parts.slice(0, 4).map((part) => unpack(part, film.gates[g].at.length).map((rank) => rank / parts[4]))),
    };
  }
  return raw.read;
}

function useFrame(P, k) {
  const frame = frameOf(P, k);
  Object.assign(P.nodes, frame.nodes);
  Object.assign(P.edges, frame.edges);
  Object.assign(P, { loss: frame.loss, routes: frame.routes, diagnosis: P.film.frames[k].diagnosis });
}

// The view as it would be in another frame, for reading norms.
function inFrame(view, k) {
  const { P, state } = view;
  const frame = frameOf(P, k);
  return { state, P: Object.assign({}, P, { loss: frame.loss, routes: frame.routes, nodes: Object.assign({}, P.nodes, frame.nodes) }) };
}

function filmText(view) {
  const { film } = view.P;
  return `step ${film.steps[film.number]}, loss ${numberText(film.losses[film.number])}`;
}

function showFrame(view, k) {
  const { film } = view.P;
  film.number = clamp(k, 0, film.frames.length - 1);
  useFrame(view.P, film.number);
  tell(view);
  view.reel.value = String(film.number);
  frameText(view);
  paint(view);
  view.refresh();
}

function frameText(view) {
  const text = filmText(view);
  view.shownFrame.textContent = text;
  view.reel.setAttribute("aria-valuetext", text);
}

function stepFilm(view, by) {
  view.stopFilm();
  showFrame(view, view.P.film.number + by);
}

// The slider over the steps of training, and a button that plays the film once.
function fillFilm(view) {
  const { film } = view.P;
  const last = film.frames.length - 1;
  const group = make("span", { class: "group film" });
  view.reel = make("input", { type: "range", id: "reel", min: 0, max: last, step: 1 });
  view.reel.value = String(film.number);
  view.reel.addEventListener("input", () => { view.stopFilm(); showFrame(view, Number(view.reel.value)); });
  view.shownFrame = make("output", { for: "reel" });
  const play = button("Play film", "show the training from frame to frame", () => {
    if (view.filmTimer) return view.stopFilm();
    play.textContent = "Stop film";
    if (film.number >= last) showFrame(view, 0);
    view.filmTimer = setInterval(() => {
      if (film.number < last) showFrame(view, film.number + 1);
      if (film.number >= last) view.stopFilm();
    }, clamp(8000 / (last + 1), 120, 900));
    return undefined;
  });
  view.stopFilm = () => {
    clearInterval(view.filmTimer);
    view.filmTimer = null;
    play.textContent = "Play film";
  };
  group.append(make("label", { for: "reel" }, "Training"), view.reel, view.shownFrame, play);
  view.times.appendChild(group);
  if (film.cells.length > 1) {
    const select = make("select", { "aria-label": "cell whose gates are shown" });
    film.cells.forEach((cell, k) => select.appendChild(make("option", { value: k }, `Gates: ${shorten(cell, 40)}`)));
    select.value = String(film.cells.indexOf(film.cell));
    select.addEventListener("change", () => { film.cell = film.cells[Number(select.value)]; drawFilm(view); });
    view.times.appendChild(select);
  }
  frameText(view);
  addCharts(view);
}
