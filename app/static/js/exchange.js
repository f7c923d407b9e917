// All the JavaScript of ours. Pages work without it; with it they stay up to date while they can be seen.
"use strict";

const failed = () => document.getElementById("failed");
const outdated = () => document.getElementById("outdated");

// A page that nobody sees asks for nothing; when it is seen again it asks at once.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.requestConfig.verb === "get") event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) document.body.dispatchEvent(new Event("seen-again"));
});

// What is on the page may be old, and what was sent may not have arrived: say so, until an answer comes again.
document.addEventListener("htmx:sendError", () => { failed().hidden = false; });
document.addEventListener("htmx:timeout", () => { failed().hidden = false; });
document.addEventListener("htmx:afterRequest", (event) => {
  const status = event.detail.xhr.status;
  if (status === 403 || status === 404) outdated().hidden = false;
  else if (status === 429 || status >= 500) failed().hidden = false;
  else if (status) failed().hidden = true;
});

// A menu closes when something else is chosen, or with Escape.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
