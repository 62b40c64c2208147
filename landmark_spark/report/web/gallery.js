// Shows a match picture large, in a dialog: Enter or a click opens it, arrow keys go to its neighbours, Escape closes
// it and gives the focus back. Without this script the links lead to the pictures themselves.
(() => {
  "use strict";
  const viewer = document.getElementById("viewer");
  if (!viewer) return;
  const picture = viewer.querySelector("img");
  const words = viewer.querySelector(".words");
  const count = viewer.querySelector(".count");
  let links = [];
  let place = 0;

  const show = (to) => {
    place = (to + links.length) % links.length;
    const small = links[place].querySelector("img");
    picture.src = links[place].getAttribute("href");
    picture.alt = small.alt;
    picture.width = small.width;
    picture.height = small.height;
    const caption = links[place].closest("figure").querySelector("figcaption");
    words.replaceChildren(...Array.from(caption.childNodes, (node) => node.cloneNode(true)));
    for (const button of viewer.querySelectorAll(".before, .after")) button.hidden = links.length < 2;
    count.textContent = `${place + 1} of ${links.length}`;
  };

  for (const gallery of document.querySelectorAll(".gallery")) {
    const own = Array.from(gallery.querySelectorAll("a"));
    own.forEach((link, number) => {
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab or window of its own
        event.preventDefault();
        links = own;
        show(number);
        viewer.showModal();
      });
    });
  }

  viewer.addEventListener("close", () => links[place].focus());
  viewer.addEventListener("click", (event) => {
    if (event.target === viewer) viewer.close(); // beside the picture
  });
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(place + step);
  });
  viewer.querySelector(".before").addEventListener("click", () => show(place - 1));
  viewer.querySelector(".after").addEventListener("click", () => show(place + 1));
  viewer.querySelector(".close").addEventListener("click", () => viewer.close());
})();
