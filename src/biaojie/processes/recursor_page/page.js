"use strict";
/* Recognises the code system while one types, and copies links. The page does everything else without it. */
(function () {
  var field = document.getElementById("identifier");
  var hint = document.getElementById("recognised");
  var timer = 0;
  var asked = 0;
  function recognise() {
    var text = field.value.trim();
    var number = ++asked;
    if (!text) { hint.textContent = ""; return; }
    fetch("/recognise?identifier=" + encodeURIComponent(text), { headers: { Accept: "application/json" } })
      .then(function (reply) { return reply.ok ? reply.json() : null; })
      .then(function (found) { if (found && number === asked) { hint.textContent = found.text; } })
      .catch(function () { /* the hint is a courtesy; resolving does not need it */ });
  }
  if (field && hint) {
    field.addEventListener("input", function () { clearTimeout(timer); timer = setTimeout(recognise, 200); });
  }
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && field && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  });
  document.querySelectorAll("button.copy").forEach(function (button) {
    if (!navigator.clipboard) { return; }
    button.hidden = false;
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(new URL(button.dataset.copy, location.href).href).then(function () { button.textContent = "已复制"; });
    });
  });
}());
