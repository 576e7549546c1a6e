use lists;
let n = 6;
let solutions = 0;
fn safe(rows, row, column) {
  let r = 0;
  while r < row {
    let d = rows[r] - column;
    if d == 0 or d == row - r or d == r - row { return false; }
    r = r + 1;
  }
  return true;
}
fn place(rows, row) {
  if row == n { solutions = solutions + 1; return; }
  let c = 0;
  while c < n { if safe(rows, row, c) { rows[row] = c; place(rows, row + 1); } c = c + 1; }
}
place(fill(n, 0), 0);
print(solutions);
