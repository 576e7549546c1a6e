use lists;
let words = ["stone", "river", "pebble", "sand", "shore", "gravel"];
let counts = fill(26, 0);
let round = 0;
while round < 60 {
  let w = 0;
  while w < len(words) {
    let i = 0;
    while i < len(words[w]) { let c = code(words[w][i]) - 97; counts[c] = counts[c] + 1; i = i + 1; }
    w = w + 1;
  }
  round = round + 1;
}
print(counts[4], counts[18], sum(counts));
