use lists;
let cells = fill(79, 0);
cells[39] = 1;
let rule = [0, 1, 1, 1, 1, 0, 0, 0];
let row = 0;
while row < 36 {
  let after = fill(79, 0);
  let i = 1;
  while i < 78 { after[i] = rule[cells[i - 1] * 4 + cells[i] * 2 + cells[i + 1]]; i = i + 1; }
  cells = after;
  row = row + 1;
}
print(sum(cells));
