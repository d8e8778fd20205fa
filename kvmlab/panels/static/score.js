const X0 = 106, X1 = 786, TOP = 15, LANE = 17;               // the score, in units of 800
const LETTERS = "700 15.6px system-ui, 'DejaVu Sans', sans-serif", ink = document.createElement("canvas").getContext("2d");

// How wide a label is at the most; asking the drawing itself would make the browser lay out the page each time.
function wide(words) { ink.font = LETTERS; return ink.measureText(words).width; }

// Few steps: a dot for each, joined; only those between the old and the new cursor are painted anew.
function dots(scene, x, y, radius) {
  const node = draw("g"), at = scene.steps.map(() => []);
  for (let t = 1; t < y.length; t++) at[t].push([draw("line", { x1: x(t - 1), y1: y[t - 1], x2: x(t), y2: y[t] }), "seg"]);
  scene.steps.forEach((step, t) => at[t].push([draw("circle", { cx: x(t), cy: y[t], r: radius }), `dot ${step.lane ? "" : step.actor}`]));
  const all = at.flat();
  for (const [mark, base] of [...all.filter(([, base]) => base === "seg"), ...all.filter(([, base]) => base !== "seg")]) { mark.setAttribute("class", base); node.append(mark); }
  const paint = (t, cur) => at[t].forEach(([mark, base]) => mark.setAttribute("class", base + (t < cur ? " done" : t === cur ? " done cur" : "")));
  return { node, paint(from, to) { for (let t = Math.max(0, Math.min(from, to)); t <= Math.max(from, to) && t < y.length; t++) paint(t, to); } };
}

// Many steps: ticks, all of an actor in one line; what is done shows through a window that ends at the cursor.
function ticks(scene, x, y) {
  const uid = `kvm${Math.random().toString(36).slice(2)}-done`, lines = new Map();
  scene.steps.forEach((step, t) => {
    const actor = step.lane ? "" : step.actor;
    lines.set(actor, `${lines.get(actor) ?? ""}M${x(t).toFixed(2)} ${y[t] - 4.5}v9`);
  });
  const pane = draw("rect", { x: 0, y: 0, height: 400, width: 0 }), clip = draw("clipPath", { id: uid });
  clip.append(pane);
  const node = draw("g"), done = draw("g", { "clip-path": `url(#${uid})` }), cur = draw("path");
  for (const [actor, d] of lines) { node.append(draw("path", { d, class: `tick ${actor}` })); done.append(draw("path", { d, class: `tick ${actor} done` })); }
  node.append(clip, done, cur);
  return { node, paint(from, to) {
    pane.setAttribute("width", x(to));
    cur.setAttribute("d", `M${x(to).toFixed(2)} ${y[to] - 4.5}v9`);
    cur.setAttribute("class", `tick ${scene.steps[to].lane ? "" : scene.steps[to].actor} done cur`);
  } };
}

// The score: one lane for each actor, one dot for each step, brackets below. It is also the slider.
function drawScore(host, scene) {
  const count = scene.steps.length, lanes = new Map(scene.lanes.map(([key], i) => [key, TOP + LANE * i]));
  const bottom = TOP + LANE * (lanes.size - 1), height = bottom + 31.5;
  const x = (t) => (count > 1 ? X0 + ((X1 - X0) * t) / (count - 1) : X0);
  const gap = (X1 - X0) / Math.max(1, count - 1), dense = gap < 4.2;
  const svg = draw("svg", { viewBox: `0 0 800 ${height}`, "aria-hidden": "true" });
  for (const [key, label] of scene.lanes) {
    svg.append(draw("line", { x1: X0 - 8, x2: 794, y1: lanes.get(key), y2: lanes.get(key), class: "lane" }),
      draw("text", { x: X0 - 16, y: lanes.get(key) + 5, class: `lname end ${key}` }, label));
  }
  const y = scene.steps.map((step) => lanes.get(step.lane || step.actor));
  const steps = dense ? ticks(scene, x, y) : dots(scene, x, y, Math.max(2, Math.min(5, gap * 0.42)));
  const groups = scene.groups.map((group) => {
    const g = draw("g"), left = x(group.first) - 3, right = x(group.last) + 3, middle = (left + right) / 2, base = bottom + 9.5;
    const room = group.first === group.last ? 400 : right - left - 2;
    if (group.first === group.last) g.append(draw("path", { d: `M${middle} ${base - 1}l5 5-5 5-5-5z`, class: "diamond" }));
    else g.append(draw("path", { d: `M${left} ${base}v4H${right}v-4`, class: "br" }));
    const anchor = group.first === group.last ? (middle > 620 ? ["end", middle - 9] : ["", middle + 9]) : ["mid", middle];
    const label = draw("text", { x: anchor[1], y: base + (group.first === group.last ? 8.5 : 17), class: `brt ${anchor[0]}` });
    g.append(label);
    svg.append(g);
    return { ...group, g, label, room, shown: null };
  });
  svg.append(steps.node);
  const head = draw("g", { class: "head" });
  head.append(draw("path", { d: "M-7 0h14l-7 9z" }), draw("line", { x1: 0, x2: 0, y1: 8, y2: bottom + 4.5 }));
  svg.append(head);
  host.querySelector("svg")?.remove();
  host.append(svg);
  const range = host.querySelector("input");
  range.max = count - 1;
  range.style.left = `${X0 / 8}%`;
  range.style.width = `${(X1 - X0) / 8}%`;
  return (from, to) => {
    steps.paint(from, to);
    for (const group of groups) {
      const { g, label, room, first, last, before, after } = group;
      const past = to > last || (to === last && last === count - 1), words = past || (first === last && to >= first) ? after : before;
      const state = past ? "post" : to >= first ? "on" : "";
      if (group.shown === state + words) continue;
      group.shown = state + words;
      g.setAttribute("class", state);
      label.textContent = wide(words) > room ? "" : words;
    }
    head.setAttribute("transform", `translate(${x(to)} 0)`);
  };
}
