// An exercise: its task, a form, three buttons, and two live regions. What is right, only Python knows.

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== false) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

let count = 0;                                               // names of radio groups and ids, each once on a page

// Each kind of form is a part of the page, and a function that returns what is in it, as a list of words.
const FORMS = {
  fields({ fields }) {
    if (fields.length === 1 && fields[0].choices.length) return ticks(fields[0].choices, "radio", "choose one");
    const inputs = fields.map(({ choices, hex }) => choices.length ? list(choices)
      : make("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: hex ? "0x… or decimal" : "a number" }));
    const rows = fields.map(({ label }, n) => make("label", {}, make("span", {}, label), inputs[n]));
    return [make("div", { class: "fields" }, ...rows), () => inputs.map(({ value }) => value)];
  },
  several: ({ choices }) => ticks(choices, "checkbox", "choose all that are right"),
  order({ steps, count: places }) {
    const inputs = Array.from({ length: places }, () => list(steps));
    const rows = inputs.map((input, n) => make("label", {}, make("span", {}, `step ${n + 1}`), input));
    return [make("div", { class: "fields order" }, ...rows), () => inputs.map(({ value }) => value)];
  },
  schedule({ letters }) {
    const input = make("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: [...letters, ...letters, "…"].join(" "), class: "long" });
    return [make("div", { class: "fields" }, make("label", {}, make("span", {}, "schedule"), input)), () => [input.value]];
  },
};

function ticks(choices, type, legend) {
  const name = `kvmlab-practice-${count += 1}`;
  const inputs = choices.map((_, n) => make("input", { type, name, value: n }));
  const rows = choices.map((words, n) => make("label", {}, inputs[n], make("span", {}, words)));
  const read = () => inputs.filter(({ checked }) => checked).map(({ value }) => value);
  return [make("fieldset", {}, make("legend", {}, legend), ...rows), read];
}

function list(choices) {
  return make("select", {}, make("option", { value: "" }, "choose …"), ...choices.map((words, n) => make("option", { value: n }, words)));
}

function render({ model, el }) {
  const id = `kvmlab-practice-${count += 1}`;
  const title = make("h4", { id }), task = make("p"), given = make("ul"), place = make("div");
  const check = make("button", { type: "submit", class: "first" }, "Check");
  const hint = make("button", { type: "button" }), another = make("button", { type: "button" }, "Another");
  const hints = make("div", { class: "hints", role: "status" }), said = make("div", { class: "said", role: "status" });
  const form = make("form", { novalidate: "" }, place, make("div", { class: "buttons" }, check, hint, another));
  const root = make("section", { class: "kvmlab-practice", "aria-labelledby": id }, title, task, given, form, hints, said);
  let read = () => [];

  function show() {
    const shown = model.get("shown");
    title.replaceChildren(shown.title, " ", make("small", {}, shown.note));
    task.textContent = shown.task;
    given.replaceChildren(...shown.given.map((line) => make("li", {}, line)));
    given.hidden = !shown.given.length;
    const [part, reader] = FORMS[shown.form.kind](shown.form);
    place.replaceChildren(part);
    read = reader;
  }
  function tell() {
    const { words, mood } = model.get("said"), { opened, answer, next } = model.get("hints");
    said.replaceChildren(...(words ? [make("p", { class: mood }, words)] : []));
    const lines = opened.map((line) => make("li", {}, line));
    hints.replaceChildren(...(lines.length ? [make("ol", {}, ...lines)] : []), ...(answer ? [make("p", {}, answer)] : []));
    hint.textContent = next || "Hint";
    hint.disabled = !next;
  }
  const send = (message) => {
    const lost = root.closest(".jupyter-widgets-disconnected");
    if (lost) said.replaceChildren(make("p", {}, "There is no kernel to ask: start it, and run the cell again."));
    else model.send(message);
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); send({ do: "check", values: read() }); });
  hint.addEventListener("click", () => send({ do: "hint" }));
  another.addEventListener("click", () => send({ do: "another" }));
  // JupyterLab takes arrows and letters for commands to the notebook wherever no text is written; here they are ours.
  const mine = (event) => {
    const command = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey && event.key === "Enter";
    if (root.contains(event.target) && !command) event.stopPropagation();
  };
  window.addEventListener("keydown", mine, true);
  model.on("change:shown", show);
  model.on("change:said change:hints", tell);
  show();
  tell();
  el.append(root);
  return () => {
    window.removeEventListener("keydown", mine, true);
    model.off("change:shown", show);
    model.off("change:said change:hints", tell);
  };
}

export default { render };
