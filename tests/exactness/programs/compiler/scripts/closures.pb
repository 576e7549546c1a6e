use lists;
fn counter(step) { let n = 0; return fn() { n = n + step; return n; }; }
let twos = counter(2);
let fives = counter(5);
let i = 0;
while i < 2500 { twos(); fives(); i = i + 1; }
print(twos(), fives());
print(sum(map(range(1200), fn(x) { return x * x; })));
