// On a photo's page: a box round a face that the detector missed, by mouse, finger or numbers.
(() => {
  const part = document.querySelector(".faces-draw");
  const form = part?.querySelector("form");
  const picture = document.querySelector(".faces-picture");
  if (!form || !picture) return;
  const image = picture.querySelector("img");
  const [width, height] = ["width", "height"].map((side) => Number(image.getAttribute(side)));
  const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
  const marking = svg("svg");
  const box = svg("rect");
  marking.setAttribute("class", "faces-marking");
  marking.setAttribute("viewBox", `0 0 ${width} ${height}`);
  marking.setAttribute("preserveAspectRatio", "none");
  box.setAttribute("vector-effect", "non-scaling-stroke");
  marking.append(box);
  form.querySelector(".faces-by-hand").hidden = false;
  form.querySelector(".faces-by-number").hidden = true;

  const sides = ["x", "y", "width", "height"];
  const show = () => {
    for (const side of sides) box.setAttribute(side, Math.max(Number(form.elements[side].value), 0));
  };
  const place = (event) => {
    const shown = picture.getBoundingClientRect();
    const across = ((event.clientX - shown.left) / shown.width) * width;
    const down = ((event.clientY - shown.top) / shown.height) * height;
    return [Math.min(Math.max(across, 0), width), Math.min(Math.max(down, 0), height)];
  };
  const between = ([left, top], [right, bottom]) => {
    const found = [Math.min(left, right), Math.min(top, bottom)];
    found.push(Math.abs(right - left), Math.abs(bottom - top));
    sides.forEach((side, at) => (form.elements[side].value = Math.round(found[at] * 10) / 10));
    show();
  };

  let from = null;
  marking.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    marking.setPointerCapture(event.pointerId);
    from = place(event);
  });
  marking.addEventListener("pointermove", (event) => from && between(from, place(event)));
  marking.addEventListener("pointerup", (event) => {
    if (!from) return;
    between(from, place(event));
    from = null;
    form.elements.to.focus();
  });
  // Datasette 0.65 closes what is open when one clicks elsewhere
  marking.addEventListener("click", (event) => event.stopPropagation());
  marking.addEventListener("pointercancel", () => (from = null));
  for (const side of sides) form.elements[side].addEventListener("input", show);

  part.addEventListener("toggle", () => {
    if (!part.open) return marking.remove();
    show();
    picture.append(marking);
    picture.scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !part.open) return;
    form.reset();
    part.open = false;
    part.querySelector("summary").focus();
  });
  const button = form.querySelector("button");
  let sent = false;
  form.addEventListener("submit", (event) => {
    // A second request would fail: the face exists already
    if (sent) return event.preventDefault();
    sent = true;
    button.textContent = "Looking…";
  });
  // Back: the button says again what it does
  addEventListener("pageshow", () => {
    sent = false;
    button.textContent = "Add this face";
  });
})();
