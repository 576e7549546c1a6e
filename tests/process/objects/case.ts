import type { Network } from '../../../packages/thaw/src/engines/process/sandbox.js'

/** A program that holds something, says `ready`, and when it is sent a line looks whether it still has it: `ok`, or what is wrong. */
export interface Case {
  name: string
  argv: string[]
  /** Programs without which it cannot be tried. */
  needs?: string[]
  network?: Network
  terminal?: boolean
  /** What says that it is ready. */
  ready?: string
  /** What is sent to it. */
  send?: string
  /** What says that it goes on right. */
  expect?: string
  /** What a user should know, whatever the result. */
  remark?: string
  /** Whether it must be refused; `perhaps`: depends on the machine. */
  refused?: boolean | 'perhaps'
}

/** A Python program: `setup` makes the object, `check` raises when it is not as it should be. */
export function python(name: string, setup: string, check: string, more: Partial<Case> = {}): Case {
  const indented = check
    .trim()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')
  const text = `
import array, asyncio, ctypes, fcntl, mmap, os, resource, select, signal, socket, struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
${setup.trim()}
def check():
${indented}
print("ready", flush=True)
for line in sys.stdin:
    try:
        check()
        print("ok", flush=True)
    except BaseException as error:
        print("bad:", repr(error), flush=True)
`
  return { name, argv: ['python3', '-c', text], ...more }
}
