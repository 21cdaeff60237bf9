// The classifier: text to probabilities, with onnxruntime's WebAssembly on one thread.
import { Tokenizer } from "@huggingface/tokenizers";
import * as ort from "onnxruntime-web/wasm";
import { XzReadableStream } from "xz-decompress";
import { makePrepare, wordsOf } from "./repairs.js";

const REMEMBERED = 25;

async function unxz(bytes) {
  const stream = new XzReadableStream(new Blob([bytes]).stream());
  return new Response(stream).arrayBuffer();
}

function makeCut(tokens, json) {
  if (tokens.pattern) {
    const vocab = new Map(Object.entries(json.model.vocab));
    const unknown = vocab.get(json.model.unk_token);
    const pattern = new RegExp(tokens.pattern, "gu");
    return (text) =>
      (text.toLowerCase().match(pattern) ?? []).map((token) => vocab.get(token) ?? unknown);
  }
  const tokenizer = new Tokenizer(json, {});
  return (text) => tokenizer.encode(text, { add_special_tokens: false }).ids;
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

export async function loadModel(carried) {
  const about = await carried.json("about");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.logLevel = "error";
  const [wasm, network, json] = await Promise.all([
    unxz(carried.bytes("runtime")),
    carried.unpacked("network"),
    carried.json("tokenizer"),
  ]);
  ort.env.wasm.wasmBinary = wasm;
  const session = await ort.InferenceSession.create(network, { executionProviders: ["wasm"] });
  delete ort.env.wasm.wasmBinary;
  const { tokens } = about;
  const room = tokens.max_length - tokens.before.length - tokens.after.length;
  const cut = makeCut(tokens, json);
  const prepare = makePrepare(about.steps, about.names);

  function idsOf(prepared) {
    const found = cut(prepared);
    return {
      ids: [...tokens.before, ...found.slice(0, room), ...tokens.after],
      unread: Math.max(0, found.length - room),
    };
  }

  // One text at a time: texts that are computed together would share the scale of their 8 bits.
  let last = Promise.resolve();
  const times = [];
  async function compute(ids) {
    const begun = performance.now();
    const mask = ids.length ? 1n : 0n;
    const given = BigInt64Array.from(ids.length ? ids : [tokens.pad], BigInt);
    const shape = [1, given.length];
    const feeds = {
      input_ids: new ort.Tensor("int64", given, shape),
      attention_mask: new ort.Tensor("int64", new BigInt64Array(given.length).fill(mask), shape),
    };
    const { logits } = await session.run(feeds);
    times.push(performance.now() - begun);
    if (times.length > REMEMBERED) times.shift();
    return softmax(logits.data);
  }

  function ofPrepared(prepared) {
    const { ids } = idsOf(prepared);
    const answer = last.then(() => compute(ids));
    last = answer.catch(() => {});
    return answer;
  }

  // How much the probability of a class falls when one word is left out, word by word.
  async function occlusion(prepared, number, stopped) {
    const words = wordsOf(prepared);
    const whole = (await ofPrepared(words.join(" ")))[number];
    const falls = [];
    let yielded = performance.now();
    for (let place = 0; place < words.length; place++) {
      const rest = [...words.slice(0, place), ...words.slice(place + 1)];
      falls.push(whole - (await ofPrepared(rest.join(" ")))[number]);
      if (performance.now() - yielded > 24) {
        await new Promise((resolve) => setTimeout(resolve));
        yielded = performance.now();
      }
      if (stopped?.()) return null;
    }
    return { words, falls };
  }

  await ofPrepared("a first text, so that the next one is quick");
  return {
    about,
    prepare,
    ids: (text) => idsOf(prepare(text)).ids,
    unread: (text) => idsOf(prepare(text)).unread,
    probabilities: (text) => ofPrepared(prepare(text)),
    occlusion,
    // The median of the last texts: a browser translates the runtime better while it runs.
    milliseconds: () => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)],
  };
}
