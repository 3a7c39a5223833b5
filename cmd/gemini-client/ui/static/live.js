// What changes on this page comes from the server as it is to be shown.
(() => {
  const part = document.getElementById("part");
  if (part.dataset.live) {
    const source = new EventSource(part.dataset.live);
    source.onmessage = (event) => {
      const focused = part.contains(document.activeElement); // do not take the keyboard's place away
      const selected = !window.getSelection().isCollapsed; // nor what a person is copying
      if (!focused && !selected) part.innerHTML = event.data;
    };
  }
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      document.getElementById("find").focus();
    }
  });
})();
