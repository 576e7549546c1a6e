import { expect, it } from 'vitest'
import { parseRunArguments } from './run-arguments.js'

it('ends its own options at the first word that is none', () => {
  expect(parseRunArguments(['-q', '--effects', 'keep', 'python3', '-q', '--fresh'])).toMatchObject({
    quiet: true,
    effects: 'keep',
    fresh: false,
    command: ['python3', '-q', '--fresh'],
  })
  expect(parseRunArguments(['--fresh', '--', '-odd-name', '--']).command).toEqual(['-odd-name', '--'])
})

it('takes values either way, and letters together', () => {
  expect(parseRunArguments(['--report=r.json', '--engine', 'fork', '-tq', 'x'])).toMatchObject({
    report: 'r.json',
    engine: 'fork',
    terminal: true,
    quiet: true,
    command: ['x'],
  })
})

it('says what is wrong', () => {
  const message = (argv: string[]) => {
    try {
      parseRunArguments(argv)
      return 'nothing'
    } catch (error) {
      return (error as Error).message
    }
  }
  expect(message([])).toBe('There is no command to run.')
  expect(message(['--no', 'x'])).toBe('thaw run has no option --no.')
  expect(message(['--report'])).toBe('--report wants a value.')
  expect(message(['--effects', 'drop', 'x'])).toBe('--effects is one of redo, keep; not drop.')
  expect(message(['--fresh=yes', 'x'])).toBe('--fresh is not an option with a value.')
})
