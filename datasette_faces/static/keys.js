// The browser gives autofocus with the first picture of the page; who types ahead of that would lose a letter.
document.querySelector("[autofocus]")?.focus();

// One key for what is done often: y, n, s, u press what carries them in data-key.
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  // Out of the field in which one begins, to where the other keys hold
  if (event.key === "Escape" && event.target.matches("input:not([type=checkbox])")) return event.target.blur();
  if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
  const wanted = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (!wanted) return;
  event.preventDefault();
  wanted.click();
});
