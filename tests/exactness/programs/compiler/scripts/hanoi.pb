let moves = 0;
fn hanoi(n, from, to, by) { if n > 0 { hanoi(n - 1, from, by, to); moves = moves + 1; hanoi(n - 1, by, to, from); } }
hanoi(11, 1, 3, 2);
print(moves);
