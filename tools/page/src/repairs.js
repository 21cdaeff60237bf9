// The repairs of agnews_utils/cleaning/repairs.py, step by step; a test compares the two. Lists of
// names (entities, tags, agencies) come from Python with the page.

const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const WORD = "\\p{L}\\p{N}_";
const SPACES = new RegExp(`[${SPACE}]+`, "gu");
const IS_SPACE = new RegExp(`^[${SPACE}]$`, "u");

// ---------------------------------------------------------------------------------- unicode

const INVISIBLE = /[\u00ad\u200b\ufeff]/g;
const TYPOGRAPHIC = [
  [/[\u2018\u2019\u201a\u201b]/g, "'"],
  [/[\u201c\u201d\u201e\u201f]/g, '"'],
  [/[\u2010\u2011\u2012\u2013\u2212]/g, "-"],
  [/[\u2014\u2015]/g, "--"],
];

function expands(character) {
  return [...character.normalize("NFKC")].length > 2;
}

function normalizeUnicode(text) {
  if (!/[^\x00-\x7f]/.test(text)) return text;
  let found = "";
  let part = "";
  for (const character of text.replace(INVISIBLE, "")) {
    if (character > "\x7f" && expands(character)) {
      found += part.normalize("NFKC") + character;
      part = "";
    } else {
      part += character;
    }
  }
  found += part.normalize("NFKC");
  return TYPOGRAPHIC.reduce((now, [signs, plain]) => now.replace(signs, plain), found);
}

const JOINS = /^[\p{M}\u1160-\u11ff]$/u;

// --------------------------------------------------------------------------------- entities

const NUMBER = "#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}";
const ENTITY_END = new RegExp(`(&| ?)(${NUMBER}|[A-Za-z][A-Za-z0-9]{1,31})$`);
const LONGEST_ENTITY = 40;
const UNREADABLE = /[\p{Cc}\p{Cs}\p{Cn}]/u;
// What browsers make of the numbers that Windows used for these characters.
const WINDOWS = "\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f"
  + "\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178";

function character(number) {
  if (number >= 0x80 && number <= 0x9f) return WINDOWS[number - 0x80];
  const none = number === 0 || number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff);
  return none ? "" : String.fromCodePoint(number);
}

function makeRepairEntities({ entities, bareNames }) {
  const bare = new Set(bareNames);
  const hint = new RegExp(`(?:${NUMBER}|&[A-Za-z0-9]{2,31}|${bareNames.join("|")});`);

  function decode(complete, body) {
    let value;
    if (body[0] !== "#") {
      if (!Object.hasOwn(entities, body) || !(complete || bare.has(body))) return null;
      value = entities[body];
    } else {
      const hex = body[1] === "x" || body[1] === "X";
      value = character(parseInt(body.slice(hex ? 2 : 1), hex ? 16 : 10));
      const sign = /^[!-/:-@[-`{-~]$/.test(value);
      if (value === "" || value === "\ufffd" || (!complete && value <= "\x7f" && !sign)) return null;
    }
    value = normalizeUnicode(value);
    const letters = [...value];
    const readable = letters.every((c) => c === "\t" || c === "\n" || !UNREADABLE.test(c));
    if (!readable || (value.includes(";") && value !== ";")) return null;
    return letters.some((c) => JOINS.test(c)) ? null : value;
  }

  function close(written, following) {
    for (;;) {
      const match = ENTITY_END.exec(written.slice(-LONGEST_ENTITY).join(""));
      const value = match ? decode(match[1] === "&", match[2]) : null;
      if (value === null || (following !== undefined && JOINS.test(following))) {
        written.push(";");
        return;
      }
      written.length -= match[0].length; // an entity is ASCII: as many characters as units
      if (value !== ";") {
        written.push(...value);
        return;
      }
    }
  }

  return function repairEntities(text) {
    const first = hint.exec(text);
    if (!first) return text;
    const start = first.index === 0 ? 0 : text.lastIndexOf(";", first.index - 1) + 1;
    const written = [...text.slice(0, start)];
    const pieces = text.slice(start).split(";");
    pieces.forEach((piece, number) => {
      for (const one of piece) written.push(one);
      if (number < pieces.length - 1) close(written, [...pieces[number + 1].slice(0, 2)][0]);
    });
    return written.join("");
  };
}

// -------------------------------------------------------------------- markup and backslashes

function makeRemoveTagsAndLinks({ tagNames }) {
  const tags = new RegExp(`(?:</?(?:${tagNames})(?![${WORD}])[^>]*>)+`, "giu");
  const address = new RegExp(
    `(?<![${WORD}])https?://[^${SPACE}<>"]*[^${SPACE}<>".,:;!?)']`,
    "giu",
  );
  const spaced = (text, place) => IS_SPACE.test(text[place]);

  return function removeTagsAndLinks(text) {
    if (text.includes("<")) {
      const end = text.lastIndexOf(">") + 1;
      const whole = text;
      const kept = text.slice(0, end).replace(tags, (found, start) => {
        const stop = start + found.length;
        const atAnEnd = start === 0 || stop === whole.length;
        if (atAnEnd || spaced(whole, start - 1) || spaced(whole, stop)) return "";
        return ".,:!?)'\"".includes(whole[stop]) ? "" : " ";
      });
      text = kept + text.slice(end);
    }
    return text.includes("://") ? text.replace(address, " ") : text;
  };
}

function backslashesToSpaces(text) {
  return text.replaceAll("\\$", "$").replaceAll("\\", " ");
}

// -------------------------------------------------------------------------------- datelines

function makeRemoveDatelines({ sources }) {
  const known = new Set(sources);
  const space = `[${SPACE}]`;
  let groups = 0;
  // What was read is not given back: JavaScript has no possessive quantifier, but a lookahead
  // that is then read again does the same.
  const once = (pattern) => `(?=(?<once${++groups}>${pattern}))\\k<once${groups}>`;
  const escape = (name) => name.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  // Each gap is a group of its own: a name must not stand twice in a pattern.
  const spaced = (name) =>
    name.split(" ").map(escape).reduce((before, word) => before + once(`${space}+`) + word);
  const source = () => [...known].sort().map(spaced).join("|");
  const capitals = () => `[A-Z]${once("[A-Z.'/\\-]+")}`;
  const name = () => `[A-Z0-9]${once(`[${WORD}.'\\-]*`)}`;
  const month = "(?:Jan|Feb|Mar|Apr|May|June|July|Aug|Sep|Oct|Nov|Dec)";
  const gap = () => once(`${space}+`);
  const dateline = new RegExp(
    `${once(`${space}*`)}(?:(?:${source()})`
      + `|${once(`(?:[A-Z0-9]${once(`[${WORD}.,'/\\-]*`)}${gap()}){0,8}`)}\\((?:${source()})\\)`
      + `|(?<place>${capitals()}${once(`(?:${gap()}${capitals()}){0,4}`)})`
      + once(`(?:,${gap()}${name()}${once(`(?:${gap()}${name()}){0,2}`)}){0,2}`)
      + once(`(?:,?${gap()}${month}${once("[a-z]*")}\\.?${gap()}\\p{Nd}{1,2}`
        + `${once(`(?:,${gap()}\\p{Nd}{4})?`)})?`)
      + once(`(?:${gap()}\\(${once("[^()]+")}\\))?`)
      + `)${gap()}-${once("-?")}${gap()}`,
    "yu",
  );
  const city = /[A-Z]{4}/;

  function withoutSource(text, start, end) {
    let stop = end;
    let cut = false;
    for (;;) {
      while (stop > start && IS_SPACE.test(text[stop - 1])) stop--;
      if (cut) end = stop;
      if (stop === start || text[stop - 1] !== ")") return end;
      const opening = text.slice(0, stop).lastIndexOf("(");
      const inside = normalizeWhitespace(text.slice(opening + 1, stop - 1));
      if (opening < start || !known.has(inside)) return end;
      stop = opening;
      cut = true;
    }
  }

  return function removeDatelines(text) {
    let start = 0;
    for (;;) {
      dateline.lastIndex = start;
      const match = dateline.exec(text);
      if (!match) break;
      const { place } = match.groups;
      if (place !== undefined && !city.test(place)) break;
      start = dateline.lastIndex;
    }
    return text.slice(start, withoutSource(text, start, text.length));
  };
}

function normalizeWhitespace(text) {
  return text.replace(SPACES, " ").replace(/^ | $/g, "");
}

// The steps by their names in Python.
const STEPS = {
  unicode: () => normalizeUnicode,
  entities: makeRepairEntities,
  backslashes: () => backslashesToSpaces,
  "tags and links": makeRemoveTagsAndLinks,
  datelines: makeRemoveDatelines,
  "white space": () => normalizeWhitespace,
};

export function wordsOf(text) {
  return normalizeWhitespace(text).split(" ").filter(Boolean);
}

// A function that prepares a text as the texts were prepared that the model learned from.
export function makePrepare(steps, names) {
  const functions = steps.map((step) => {
    if (!Object.hasOwn(STEPS, step)) throw new Error(`the page knows no step "${step}"`);
    return STEPS[step](names);
  });
  return (text) => functions.reduce((now, repair) => repair(now), text);
}
