// On the search page: a photo can be dropped or pasted, and the threshold slides.
(() => {
  const form = document.querySelector("form.faces-upload");
  if (form) {
    const input = form.querySelector("input[type=file]");
    const status = form.querySelector(".faces-status");
    for (const hint of form.querySelectorAll(".faces-scripted")) hint.hidden = false;
    form.addEventListener("submit", () => {
      status.textContent =
        form.dataset.cold === "1"
          ? "Loading the model and finding faces… (slow only the first time)"
          : "Finding faces…";
      form.classList.add("busy");
    });
    const send = (files) => {
      const pictures = [...files].filter((file) => file.type.startsWith("image/") || /\.hei[cf]$/i.test(file.name));
      if (!pictures.length) {
        status.textContent = "That is not a picture.";
        return;
      }
      const chosen = new DataTransfer();
      for (const picture of pictures) chosen.items.add(picture);
      input.files = chosen.files;
      form.requestSubmit();
    };
    input.addEventListener("change", () => input.files.length && form.requestSubmit());
    let inside = 0;
    const over = (by) => form.classList.toggle("over", (inside = Math.max(0, inside + by)) > 0);
    // Words that are dragged into a field are none of ours
    const files = (event) => event.dataTransfer?.types.includes("Files");
    document.addEventListener("dragenter", (event) => files(event) && over(1));
    document.addEventListener("dragleave", (event) => files(event) && over(-1));
    document.addEventListener("dragover", (event) => files(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      over(-inside);
      send(event.dataTransfer.files);
    });
    document.addEventListener("paste", (event) => {
      if (event.clipboardData?.files.length) send(event.clipboardData.files);
    });
    // Back from the results: the page is as it was before
    addEventListener("pageshow", (event) => {
      form.classList.remove("busy");
      if (!event.persisted) return;
      status.textContent = "";
      // The same photo, picked again, would be no change
      input.value = "";
    });
  }

  const found = document.querySelector(".faces-found");
  const number = document.getElementById("faces-threshold");
  if (!found || !number) return;
  const similarities = JSON.parse(found.dataset.similarities);
  const whole = found.dataset.whole === "1";
  const cards = [...found.querySelectorAll("li[data-similarity]")];
  const count = found.querySelector(".faces-count");
  const output = number.form.querySelector("output");
  const lowest = Math.min(0, ...similarities);
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = Math.floor(lowest * 100) / 100;
  slider.max = 1;
  slider.step = 0.01;
  slider.name = number.name;
  slider.id = number.id;
  slider.value = number.value === "" ? slider.min : number.value;
  slider.setAttribute("aria-label", "Minimum similarity");
  // Where nothing is asked for, nothing is sent
  number.form.addEventListener("submit", () => (slider.disabled = slider.value === slider.min));
  addEventListener("pageshow", () => (slider.disabled = false));
  number.replaceWith(slider);
  const slide = () => {
    const least = Number(slider.value);
    const reach = similarities.filter((similarity) => similarity >= least).length;
    output.textContent = least.toFixed(2);
    const all = reach === similarities.length && !whole;
    count.textContent = `${all ? "Over " : ""}${reach.toLocaleString("en")} face${reach === 1 ? "" : "s"} with a similarity of ${least.toFixed(2)} or more.`;
    for (const card of cards) card.hidden = Number(card.dataset.similarity) < least;
  };
  slider.addEventListener("input", slide);
  slide();
})();
