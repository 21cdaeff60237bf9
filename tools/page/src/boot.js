// Unpack what the page carries, and start its program. Everything is in the page itself: the
// bytes are written as characters from U+0100 on, 15 bits each, in a script that is never run.

const FIRST = 0x100;

function bytesOf(text, count) {
  const bytes = new Uint8Array(count);
  let held = 0;
  let bits = 0;
  let place = 0;
  for (let i = 0; i < text.length && place < count; i++) {
    held = (held << 15) | (text.charCodeAt(i) - FIRST);
    bits += 15;
    while (bits >= 8 && place < count) {
      bits -= 8;
      bytes[place++] = held >> bits;
    }
    held &= (1 << bits) - 1;
  }
  return bytes;
}

async function gunzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function boot() {
  const status = document.getElementById("status");
  if (typeof DecompressionStream === "undefined" || typeof WebAssembly === "undefined") {
    status.textContent =
      "This browser is too old: the page needs Chrome 91, Firefox 113, Safari 16.4, or newer.";
    return;
  }
  const node = document.getElementById("payload");
  const { count, parts } = JSON.parse(node.dataset.parts);
  const all = bytesOf(node.textContent, count);
  node.remove();
  const packed = (name) => all.subarray(...parts[name]);
  const script = document.createElement("script");
  window.carried = {
    started: performance.now(),
    bytes: packed,
    unpacked: (name) => gunzip(packed(name)),
    json: async (name) => JSON.parse(new TextDecoder().decode(await gunzip(packed(name)))),
  };
  script.textContent = new TextDecoder().decode(await gunzip(packed("app")));
  document.body.append(script);
}

function fail(error) {
  document.documentElement.dataset.state = "failed";
  document.getElementById("status").textContent =
    `The page could not start: ${error?.message ?? error}. Was the file copied whole?`;
}

// An error in a script that is put into the page arrives here only.
window.addEventListener("error", (event) => fail(event.error ?? event.message), { once: true });
boot().catch(fail);
