use numbers;
let coprime = 0;
let a = 1;
while a < 70 { let b = 1; while b < 70 { if gcd(a, b) == 1 { coprime = coprime + 1; } b = b + 1; } a = a + 1; }
print("coprime " + text(coprime));
