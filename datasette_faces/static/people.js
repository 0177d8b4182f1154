// On pages about people: ranges of ticks, how many are chosen, and names as one types.
(() => {
  const form = document.querySelector("form.faces-choose");
  if (form) {
    const boxes = [...form.querySelectorAll(".faces-tick input")];
    const said = form.querySelector(".faces-chosen");
    const all = form.querySelector(".faces-all");
    const chosen = () => boxes.filter((box) => box.checked).length;
    let last = null;
    const showCount = () => {
      const count = chosen();
      said.textContent = count ? `${count} chosen` : "";
      form.classList.toggle("some", count > 0);
      all.textContent = count === boxes.length ? "Select none" : "Select all on this page";
    };
    form.addEventListener("click", (event) => {
      const box = boxes.indexOf(event.target);
      if (box < 0) return;
      if (event.shiftKey && last !== null)
        for (let place = Math.min(box, last); place <= Math.max(box, last); place++)
          boxes[place].checked = event.target.checked;
      last = box;
    });
    form.addEventListener("change", showCount);
    all.setAttribute("role", "button");
    const every = (event) => {
      event.preventDefault();
      const on = chosen() < boxes.length;
      for (const box of boxes) box.checked = on;
      showCount();
    };
    all.addEventListener("click", every);
    all.addEventListener("keydown", (event) => event.key === " " && every(event));
    // Back: the browser ticks again what was ticked, after this ran
    addEventListener("pageshow", showCount);
    showCount();
  }

  const names = document.getElementById("faces-names");
  if (!names) return;
  const given = [...names.children];
  let asking = 0;
  const suggest = async (text) => {
    const asked = ++asking;
    if (!text.trim()) return names.replaceChildren(...given);
    const query = new URLSearchParams({ show: "named", q: text.trim() });
    const answer = await fetch(`${names.dataset.url}?${query}`).catch(() => null);
    if (!answer?.ok || asked !== asking) return;
    const found = (await answer.json()).people.map((person) => person.name);
    if (asked !== asking) return;
    names.replaceChildren(...[...new Set(found)].map((name) => new Option(name, name)));
  };
  let soon = 0;
  for (const field of document.querySelectorAll("input[list=faces-names]"))
    field.addEventListener("input", () => {
      clearTimeout(soon);
      // Fewer names than the page was given with: it knows them all
      if (given.length >= 200) soon = setTimeout(() => suggest(field.value), 150);
    });
})();
