// Sends what a build needs: an archive as it is, or a folder packed into one while it goes out. Files are only
// referred to, never read into memory: the browser streams them from the disk.
(() => {
  const form = document.getElementById("build-form");
  if (!form) return;
  const state = document.getElementById("upload");
  const context = document.getElementById("context");
  const submit = document.getElementById("build");
  const fields = form.elements;
  const BLOCK = 512;
  let sending = null;

  const isSent = () => ["archive", "folder"].includes(fields.context.value);
  const mayBuild = () => (submit.disabled = isSent() && (sending !== null || !fields.upload.value));

  // The headers of a tar archive, as GNU tar writes them: long names in an entry of their own.
  const text = new TextEncoder();
  const header = (name, size, type) => {
    const bytes = new Uint8Array(BLOCK);
    const put = (value, at, length) => bytes.set((value instanceof Uint8Array ? value : text.encode(value)).subarray(0, length), at);
    const octal = (value, length) => value.toString(8).padStart(length - 1, "0") + "\0";
    put(name, 0, 100);
    put(octal(0o755, 8), 100, 8);
    put(octal(0, 8), 108, 8);
    put(octal(0, 8), 116, 8);
    put(octal(size, 12), 124, 12);
    put(octal(0, 12), 136, 12);
    put("        ", 148, 8);
    put(type, 156, 1);
    put("ustar  \0", 257, 8);
    put(octal(bytes.reduce((sum, byte) => sum + byte, 0), 7) + " ", 148, 8);
    return bytes;
  };
  const padding = (size) => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
  const packed = (files) => {
    const parts = [];
    for (const file of files) {
      // "folder/app/main.py": the folder itself is the context.
      const name = text.encode(file.webkitRelativePath.split("/").slice(1).join("/") || file.name);
      if (name.length > 100) {
        const long = new Uint8Array([...name, 0]);
        parts.push(header("././@LongLink", long.length, "L"), long, padding(long.length));
      }
      parts.push(header(name, file.size, "0"), file, padding(file.size));
    }
    parts.push(new Uint8Array(2 * BLOCK));
    return new Blob(parts);
  };

  const show = (template) => {
    state.replaceChildren(document.getElementById(template).content.cloneNode(true));
    return state;
  };
  const fail = (words) => {
    show("upload-problem").querySelector("p").textContent = words || form.dataset.failed;
  };

  const look = () => {
    if (!fields.upload.value) return;
    const url = form.dataset.contextUrl.replace("00000000-0000-0000-0000-000000000000", fields.upload.value);
    const query = new URLSearchParams({ folder: fields.folder.value, dockerfile: fields.dockerfile.value });
    htmx.ajax("GET", `${url}?${query}`, { target: "#context", swap: "innerHTML" });
  };

  const send = (body, name) => {
    sending?.abort();
    fields.upload.value = "";
    context.replaceChildren();
    if (body.size > Number(form.dataset.limit)) {
      sending = null;
      mayBuild();
      return fail(form.dataset.tooLarge);
    }
    const request = new XMLHttpRequest();
    sending = request;
    mayBuild();
    const place = show("upload-progress");
    const bar = place.querySelector("progress");
    place.querySelector(".upload-text").textContent = form.dataset.sending;
    const { bytes, pace } = window.drydock;
    const goes = pace();
    request.upload.onprogress = ({ loaded, total }) => {
      [bar.max, bar.value] = [total, loaded];
      place.querySelector(".upload-numbers").textContent = `${bytes(loaded)} / ${bytes(total)}${goes(loaded, total)}`;
    };
    request.upload.onload = () => {
      bar.removeAttribute("value");
      place.querySelector(".upload-text").textContent = form.dataset.looking;
    };
    const ended = () => {
      if (sending !== request) return false;
      sending = null;
      return true;
    };
    request.onload = () => {
      if (!ended()) return;
      const answer = request.response || {};
      if (request.status === 201) {
        fields.upload.value = answer.id;
        state.replaceChildren();
        look();
      } else {
        fail(answer.error);
      }
      mayBuild();
    };
    request.onerror = () => {
      if (!ended()) return;
      fail();
      mayBuild();
    };
    request.responseType = "json";
    request.open("PUT", `${form.dataset.uploadUrl}?${new URLSearchParams({ name })}`);
    request.setRequestHeader("X-CSRFToken", document.querySelector("meta[name=csrf-token]").content);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(body);
  };

  document.getElementById("archive").addEventListener("change", ({ target }) => {
    if (target.files.length) send(target.files[0], target.files[0].name);
  });
  document.getElementById("tree").addEventListener("change", ({ target }) => {
    const files = [...target.files];
    if (!files.length) return fail(form.dataset.empty);
    send(packed(files), files[0].webkitRelativePath.split("/")[0]);
  });

  // Another folder or Dockerfile of the same files; a name that was found is one click away.
  let timer = 0;
  for (const name of ["folder", "dockerfile"]) {
    fields[name].addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => isSent() && look(), 600);
    });
  }
  context.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-dockerfile]");
    if (!button) return;
    fields.dockerfile.value = button.dataset.dockerfile;
    look();
  });

  form.addEventListener("change", ({ target }) => {
    if (target.name !== "context") return;
    context.replaceChildren();
    // What was sent as an archive is not the folder: each kind is sent by itself.
    if (isSent()) {
      sending?.abort();
      sending = null;
      fields.upload.value = "";
      state.replaceChildren();
      for (const id of ["archive", "tree"]) document.getElementById(id).value = "";
    }
    mayBuild();
  });
  // After a form that was not accepted the files are still there.
  if (isSent()) look();
  mayBuild();
})();
