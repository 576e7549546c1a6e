import { expect, it } from 'vitest'
import { commandOf } from './words.js'

it.each([
  ['python app.py --n 3', ['python', 'app.py', '--n', '3']],
  [`python -c 'print(1, "x y")'`, ['python', '-c', 'print(1, "x y")']],
  [`pytest -k "a or b" tests/`, ['pytest', '-k', 'a or b', 'tests/']],
  [`echo a'b c'd`, ['echo', 'ab cd']],
  [`echo ''`, ['echo', '']],
  ['cat a | wc -l', ['sh', '-c', 'cat a | wc -l']],
  ['echo $HOME', ['sh', '-c', 'echo $HOME']],
  ['echo "$HOME"', ['sh', '-c', 'echo "$HOME"']],
  ['X=1 python app.py', ['sh', '-c', 'X=1 python app.py']],
  [`echo it's`, ['sh', '-c', `echo it's`]],
])('%s', (line, command) => expect(commandOf(line)).toEqual(command))
