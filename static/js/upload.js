// Sends an archive of images: asks for the jobs, then PUTs the file itself, which may be gigabytes.
(() => {
  const form = document.querySelector("[data-upload]");
  if (!form) return;
  const part = (name) => form.querySelector(`[data-upload-${name}]`);
  const problem = part("problem");
  const [bar, text, cancel] = [part("progress").querySelector("progress"), part("text"), part("cancel")];
  const submit = form.querySelector("[type=submit]");
  const file = form.querySelector("input[type=file]");
  let request = null;
  part("plain").remove();
  submit.disabled = false;

  const { bytes, pace } = window.drydock;

  const warn = (event) => event.preventDefault();
  function busy(is) {
    part("fields").hidden = is;
    part("progress").hidden = !is;
    cancel.hidden = !is;
    submit.hidden = is;
    part("back").hidden = is;
    (is ? addEventListener : removeEventListener)("beforeunload", warn);
    if (is) cancel.focus();
  }

  function say(id) {
    busy(false);
    problem.replaceChildren(document.getElementById(id).content.cloneNode(true));
  }

  function list(problems) {
    const box = document.createElement("div");
    box.className = "alert alert-danger";
    for (const each of problems) box.appendChild(document.createElement("div")).textContent = each;
    problem.replaceChildren(box);
  }

  // Hosts whose workers were busy are told in the answer: the file is here, so it is sent once more for them.
  function sent(archive, { upload, jobs }, go) {
    const { waiting = [] } = request.status === 200 ? JSON.parse(request.responseText) : {};
    if (!waiting.length) return go();
    text.textContent = form.dataset.textAgain.replace("%(count)s", waiting.length);
    send(archive, { upload: `${upload.split("?")[0]}?jobs=${waiting}`, jobs });
  }

  function send(archive, { upload, jobs }) {
    const go = () => {
      removeEventListener("beforeunload", warn);
      location.assign(jobs);
    };
    request = new XMLHttpRequest();
    request.open("PUT", upload);
    request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    const goes = pace();
    request.upload.addEventListener("progress", (event) => {
      const done = Math.min(event.loaded, archive.size);
      bar.max = archive.size || 1;
      bar.value = done;
      text.textContent = form.dataset.textSent.replace("%(done)s", bytes(done)).replace("%(total)s", bytes(archive.size)) + goes(done, archive.size);
    });
    request.addEventListener("load", () => sent(archive, { upload, jobs }, go));
    request.addEventListener("abort", () => say("upload-cancelled"));
    // A job that ended early closes the connection: its page says why, if it can be reached.
    request.addEventListener("error", () => fetch(jobs, { method: "HEAD" }).then(go, () => say("upload-failed")));
    request.send(archive);
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const archive = file.files[0];
    if (!archive) return;
    problem.replaceChildren();
    form.elements.file.value = archive.name.slice(0, 255);
    form.elements.size.value = archive.size;
    submit.disabled = true;
    try {
      const response = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value } });
      if (!response.ok || response.redirected) throw new Error(String(response.status));
      const answer = await response.json();
      if (answer.problems) return list(answer.problems);
      text.textContent = form.dataset.textWait;
      busy(true);
      send(archive, answer);
    } catch {
      say("upload-failed");
    } finally {
      submit.disabled = false;
    }
  });
  cancel.addEventListener("click", () => request?.abort());
})();
