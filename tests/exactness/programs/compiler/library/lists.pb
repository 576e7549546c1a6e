// Lists, for all scripts that ask for them.
fn range(n) { let out = []; let i = 0; while i < n { push(out, i); i = i + 1; } return out; }
fn sum(list) { let total = 0; let i = 0; while i < len(list) { total = total + list[i]; i = i + 1; } return total; }
fn map(list, f) { let out = []; let i = 0; while i < len(list) { push(out, f(list[i])); i = i + 1; } return out; }
fn filter(list, f) {
  let out = []; let i = 0;
  while i < len(list) { if f(list[i]) { push(out, list[i]); } i = i + 1; }
  return out;
}
fn fill(n, value) { let out = []; let i = 0; while i < n { push(out, value); i = i + 1; } return out; }
