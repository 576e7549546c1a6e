import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { treeOf } from '../../packages/thaw/src/engines/process/inspect.js'
import { Sandbox } from '../../packages/thaw/src/engines/process/sandbox.js'
import { openScope, withTimeout } from '../../packages/thaw/src/system/index.js'
import { until } from '../support/home.js'
import { Bench, remains, whyNot, type Watched } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)

/** Waits in a read, in a thread's sleep, and for a child. */
const BUSY = `
import subprocess, sys, threading, time
beats = 0
def beat():
    global beats
    while True:
        time.sleep(.01); beats += 1
threading.Thread(target=beat, daemon=True).start()
child = subprocess.Popen(["sh", "-c", "while read x; do echo child $x; done"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print("ready", flush=True)
for line in sys.stdin:
    was = beats; time.sleep(.1)
    child.stdin.write(line); child.stdin.flush()
    print(child.stdout.readline().strip(), beats > was, flush=True)
`

describe.skipIf(why !== null)('what hangs is ended at its deadline', () => {
  let bench: Bench
  beforeEach(() => (bench = new Bench()))
  afterEach(() => bench[Symbol.asyncDispose]())

  it.each([0, 5])('a dump, %i ms after criu began: the program goes on', async (delay) => {
    const one = await bench.launch(['python3', '-c', BUSY])
    await one.prints('ready')
    const stopped = stopCriu(one, delay)
    const scope = withTimeout(bench.scope, 1500)
    const dump = bench.engine.checkpoint(bench.group, one.branch, scope).then(
      () => 'done',
      (error: unknown) => (error as { code: string }).code,
    )
    const outcome = await dump
    // It may have been too quick to be stopped.
    const hung = await stopped
    expect(outcome).toBe(hung ? 'TIMEOUT' : 'done')
    for (const pid of treeOf(one.branch.root)) {
      const status = readFileSync(`/proc/${pid}/status`, 'latin1')
      expect(status).toMatch(/^TracerPid:\t0$/m)
      expect(status).toMatch(/^State:\t[SRD] /m)
    }
    await one.ask('a\n', 'child a True')
    if (outcome === 'TIMEOUT') expect(readdirSync(bench.group.images)).toEqual([])
    const two = await bench.restore(await bench.checkpoint(one))
    await Promise.all([one, two].map((each) => each.ask('b\n', 'child b True')))
  })

  // By then criu may run code of its own in the program, which nobody can take out once criu is gone.
  it.each([20, 40])(
    'a dump, %i ms after criu began: nothing half is left, and nothing is traced',
    async (delay) => {
      const one = await bench.launch(['python3', '-c', BUSY])
      await one.prints('ready')
      const stopped = stopCriu(one, delay)
      const dump = bench.engine.checkpoint(bench.group, one.branch, withTimeout(bench.scope, 1500)).then(
        () => 'done',
        (error: unknown) => (error as { code: string }).code,
      )
      const outcome = await dump
      expect(outcome).toBe((await stopped) ? 'TIMEOUT' : 'done')
      if (outcome === 'TIMEOUT') expect(readdirSync(bench.group.images)).toEqual([])
      for (const pid of treeOf(one.branch.root)) {
        const file = `/proc/${pid}/status`
        if (existsSync(file)) expect(readFileSync(file, 'latin1')).toMatch(/^TracerPid:\t0$/m)
      }
      await one.branch[Symbol.asyncDispose]()
      expect(existsSync(`/proc/${one.branch.pid}`)).toBe(false)
    },
  )

  it('a sandbox that answers nothing: nothing is left', async () => {
    const spec = { user: process.geteuid?.() !== 0, network: 'host', streams: [null, null, null] } as const
    const sandbox = await Sandbox.start(spec, openScope())
    const { initPid } = sandbox
    process.kill(initPid, 'SIGSTOP')
    await expect(sandbox.settle(withTimeout(openScope(), 200))).rejects.toMatchObject({ code: 'TIMEOUT' })
    await sandbox[Symbol.asyncDispose]()
    await until('PID 1 is gone', () => !existsSync(`/proc/${initPid}`))
    expect(remains('/').sandboxes).toEqual([])
  })

  it('a launch', async () => {
    const scope = withTimeout(bench.scope, 0)
    const spec = { branch: 'b', argv: ['true'], cwd: bench.project, umask: 0o22, env: {} }
    const streams = { stdin: 'null', joined: false, terminal: null } as const
    const allowance = { limits: [], nice: 0, cpus: '0' }
    const listener = { output: () => true }
    await expect(
      bench.engine.launch(bench.group, { ...spec, allowance, streams, listener }, scope),
    ).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(remains(bench.group.work)).toMatchObject({ sandboxes: [], files: [] })
  })
})

/** Stops the criu that will come, so that it hangs; false when it had ended before. */
async function stopCriu(one: Watched, delay: number): Promise<boolean> {
  const init = one.branch.parts.sandbox.initPid
  const find = () =>
    childrenOf(init).find((pid) => {
      try {
        return /criu|ld-linux/.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1'))
      } catch {
        return false
      }
    })
  let pid: number | undefined
  for (let i = 0; pid === undefined && i < 2000; i++) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    pid = find()
  }
  if (pid === undefined) throw new Error('criu was not started')
  await new Promise((resolve) => setTimeout(resolve, delay))
  try {
    process.kill(pid, 'SIGSTOP')
    return !/^State:\t[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim()
  return text === '' ? [] : text.split(/\s+/).map(Number)
}
