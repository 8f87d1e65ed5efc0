// The page works without this script. With it the answer comes without a new page, and people may use feet and pounds.
const form = document.getElementById("ask");
const INCH = 0.0254;
const POUND = 0.45359237;

// What is sent is metric. A text that is no number is passed on as it is: the service says at the field what is allowed.
const UNITS = {
  m: {
    parts: (metres) => {
      const inches = round(metres / INCH, 1); // before it is split: 5 ft 11.97 in are 6 ft
      return [Math.floor(inches / 12), round(inches % 12, 1)];
    },
    metric: (feet, inches) => round((12 * feet + inches) * INCH, 4),
  },
  kg: { parts: (kilograms) => [round(kilograms / POUND, 1)], metric: (pounds) => round(pounds * POUND, 2) },
};

function round(number, digits) {
  return Number(number.toFixed(digits));
}

function number(text) {
  return Number(text.trim().replace(",", "."));
}

function partsOf(field) {
  return [...field.querySelectorAll(".parts input")];
}

function toMetric(field) {
  const texts = partsOf(field).map((part) => part.value);
  const metric = UNITS[field.dataset.unit].metric(...texts.map(number));
  const blank = texts.every((text) => !text.trim());
  field.querySelector("[name]").value = blank ? "" : Number.isFinite(metric) ? metric : texts.join(" ");
}

function toImperial(field) {
  const text = field.querySelector("[name]").value;
  const known = text.trim() && Number.isFinite(number(text));
  const parts = known ? UNITS[field.dataset.unit].parts(number(text)) : [text];
  partsOf(field).forEach((part, at) => { part.value = parts[at] ?? ""; });
}

function fieldsWithUnits() {
  return [...form.querySelectorAll("[data-unit]")];
}

function showUnits() {
  const { checked } = document.getElementById("imperial");
  for (const field of fieldsWithUnits()) {
    for (const each of field.querySelectorAll(".metric, .imperial")) {
      each.hidden = each.classList.contains("imperial") !== checked;
    }
    const metric = field.querySelector("[name]");
    const parts = partsOf(field);
    field.querySelector("label").htmlFor = checked ? parts[0].id : metric.id;
    for (const part of parts) {
      part.setAttribute("aria-describedby", metric.getAttribute("aria-describedby"));
      part.removeAttribute("aria-invalid");
      if (metric.hasAttribute("aria-invalid")) part.setAttribute("aria-invalid", "true");
    }
  }
}

function switchUnits() {
  fieldsWithUnits().forEach(toImperial);
  showUnits();
}

// Only what is wrong is taken from the new page: what a person has written stays as it is.
function showErrors(page) {
  for (const control of form.querySelectorAll("[name]")) {
    control.removeAttribute("aria-invalid");
    if (page.getElementById(control.id).hasAttribute("aria-invalid")) control.setAttribute("aria-invalid", "true");
    const error = `${control.id}-error`;
    document.getElementById(error).replaceChildren(...page.getElementById(error).childNodes);
  }
  showUnits();
}

let asked = 0;

async function ask(event) {
  event.preventDefault();
  asked += 1;
  const mine = asked;
  const status = document.getElementById("status");
  status.textContent = form.dataset.waiting;
  let page;
  try {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/html" } });
    page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (!page.getElementById("answer")) throw new Error("this is not the page");
  } catch {
    if (mine !== asked) return;
    status.textContent = form.dataset.failed;
    return;
  }
  if (mine !== asked) return; // a later one is on its way
  status.textContent = "";
  showErrors(page);
  const answer = document.getElementById("answer");
  answer.replaceChildren(...page.getElementById("answer").childNodes);
  const wrong = [...form.querySelectorAll("[aria-invalid=true]")].find((control) => control.offsetParent);
  (wrong ?? answer.querySelector("[tabindex]")).focus();
}

if (form) {
  const imperial = document.getElementById("imperial");
  document.getElementById("switch").hidden = false;
  imperial.addEventListener("change", switchUnits);
  form.addEventListener("input", (event) => {
    if (event.target.closest(".parts")) toMetric(event.target.closest(".field"));
  });
  form.addEventListener("submit", ask);
  if (imperial.checked) switchUnits(); // a browser that goes back restores the switch
}
