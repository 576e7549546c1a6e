use lists;
use numbers;
fn sorted(list) {
  if len(list) < 2 { return list; }
  let pivot = list[0];
  let rest = slice(list, 1, len(list));
  let low = sorted(filter(rest, fn(x) { return x < pivot; }));
  push(low, pivot);
  return low + sorted(filter(rest, fn(x) { return not (x < pivot); }));
}
let state = SEED;
let list = map(range(420), fn(i) { state = next(state); return state % 5000; });
let out = sorted(list);
print(out[0], out[210], out[419], sum(out));
