let list = [1, 2, 3];
fn third(l) { return l[2]; }
print(third(list));
print(third([1]));
