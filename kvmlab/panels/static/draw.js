// The player, part 1: making nodes. All parts of the player are one module, put together in the order that Python names.
// No framework, no network. Text always goes in as text, never as markup.

const ICONS = {
  prev: "M2 2h2v12H2zM14 2v12L5 8z", back: "M12 2v12L3 8z", play: "M4 2l10 6-10 6z",
  pause: "M3 2h4v12H3zM9 2h4v12H9z", step: "M4 2v12l9-6z", next: "M12 2h2v12h-2zM2 2v12l9-6z",
};

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function draw(tag, attributes = {}, text = null) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return node;
}

function button(name, label) {
  const svg = draw("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
  svg.append(draw("path", { d: ICONS[name] }));
  return make("button", { type: "button", "data-p": name, "aria-label": label, title: label, class: name === "play" ? "wide" : "" }, svg);
}

function choose(name, label, options) {
  return make("select", { "data-p": name, "aria-label": label, title: label },
    ...options.map(([value, words]) => make("option", { value }, words)));
}

// {c|cause} and {e|effect}: the sentence wears the marks of the picture.
function sentence(el, words) {
  el.replaceChildren(...words.split(/(\{[ce]\|[^{}]*\})/).filter(Boolean).map((piece) => {
    const marked = /^\{([ce])\|([^{}]*)\}$/.exec(piece);
    return marked ? make("span", { class: marked[1] }, marked[2]) : document.createTextNode(piece);
  }));
}
