/** Ten edits, each made on top of those before: what, and [file, before, after] for every place. */
export const EDITS = [
  ['a function used at the end', [['report.py', 'total     {sum', 'together  {sum']]],
  ['a method', [['accounts.py', 'self.notes.append(note)', 'self.notes.append(note.upper())']]],
  ['a constant that another module has imported by name', [['settings.py', 'FEE = 0.25', 'FEE = 0.5']]],
  [
    'a rule more, registered by a decorator',
    [
      [
        'rules.py',
        '@rule\ndef fee(',
        '@rule\ndef gift(account, path):\n    account.book(1.0, "gift")\n\n\n@rule\ndef fee(',
      ],
    ],
  ],
  [
    'that rule removed again',
    [
      [
        'rules.py',
        '@rule\ndef gift(account, path):\n    account.book(1.0, "gift")\n\n\n@rule\ndef fee(',
        '@rule\ndef fee(',
      ],
    ],
  ],
  ['a class attribute', [['accounts.py', 'kind = "plain"', 'kind = "joint"']]],
  ['the body of a decorator', [['memo.py', 'round(function(*args), 2)', 'round(function(*args), 1)']]],
  ['a data file', [['trades.csv', 'edsger,310', 'edsger,410']]],
  ['a function below one whose results are remembered', [['prices.py', '/ 50)', '/ 60)']]],
  [
    'a function renamed with its use',
    [
      ['report.py', 'def line(account):', 'def row(account):'],
      ['main.py', 'report.line(account)', 'report.row(account)'],
      ['test_program.py', 'report.line(account)', 'report.row(account)'],
    ],
  ],
]
