// On a photo's page: a face's box lights up with its crop, and the crop with the box.
(() => {
  const boxes = new Map(
    [...document.querySelectorAll(".faces-boxes a[data-face]")].map((box) => [box.dataset.face, box])
  );
  for (const crop of document.querySelectorAll(".faces-side .faces-grid a")) {
    const box = boxes.get(crop.pathname.split("/").pop());
    if (!box) continue;
    const light = (on) => [crop, box].forEach((link) => link.classList.toggle("lit", on));
    for (const link of [crop, box]) {
      for (const name of ["mouseenter", "focus"]) link.addEventListener(name, () => light(true));
      for (const name of ["mouseleave", "blur"]) link.addEventListener(name, () => light(false));
    }
  }
})();
