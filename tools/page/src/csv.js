// A table in the form of `python -m agnews_utils.predict --csv`.

function cell(value) {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

export function csvOf(classes, rows) {
  const lines = [["text", "class", ...classes.map((name) => `p(${name})`)]];
  for (const { text, best, probabilities } of rows) {
    lines.push([text, classes[best], ...probabilities.map((p) => p.toFixed(6))]);
  }
  return `${lines.map((line) => line.map(cell).join(",")).join("\n")}\n`;
}
