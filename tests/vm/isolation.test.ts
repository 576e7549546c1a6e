/** What an untrusted program, root in its machine, cannot reach. */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { VmBranch } from '../../packages/thaw/src/engines/vm/vm.js'
import { Bench, provider, shell, whyNot } from '../support/vm.js'

const reason = await whyNot()
if (reason !== null) console.error(`tests/vm/isolation.test.ts: skipped, ${reason}`)

/** A script for the machine's python3; ADDRESSES and PORT come from outside. */
const CONNECT = `
import errno, socket
for address in {addresses}:
    with socket.socket() as s:
        s.settimeout(3)
        try: s.connect((address, {port})); print('reached', address)
        except OSError as e: print(errno.errorcode.get(e.errno, e))
`
const VSOCK = `
import errno, socket
for cid in (0, 1, 2, 3):
    for port in (1024, 1025, 22):
        try:
            with socket.socket(40, socket.SOCK_STREAM) as s:
                s.settimeout(2)
                s.connect((cid, port)); print('reached', cid, port)
        except OSError as e: pass
print('done')
`

describe.skipIf(reason !== null)('a program in a machine', () => {
  let bench: Bench
  let branch: VmBranch
  let server: Server
  let outside: string
  let connections = 0

  beforeAll(async () => {
    outside = mkdtempSync(join(tmpdir(), 'thaw-outside-'))
    writeFileSync(join(outside, 'secret'), 'secret')
    server = createServer((stream) => {
      connections++
      stream.destroy()
    })
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
    bench = await Bench.open()
    branch = await bench.boot()
  }, 240_000)
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve))
    await bench[Symbol.asyncDispose]()
    rmSync(outside, { recursive: true, force: true })
  })

  const python = (script: string) => shell(branch.guest, `python3 -c "$(cat <<'END'\n${script}\nEND\n)"`)

  it('is root there', async () => {
    expect(await shell(branch.guest, 'id -u')).toBe('0')
  })

  it('has no network, and does not reach a server on the loopback of the host', async () => {
    const { port } = server.address() as AddressInfo
    expect(await shell(branch.guest, 'ls /sys/class/net')).toBe('lo')
    const addresses = "['127.0.0.1', '10.0.2.2', '10.0.2.15', '169.254.169.254', '192.168.0.1']"
    const said = await python(CONNECT.replace('{addresses}', addresses).replace('{port}', String(port)))
    expect(said.split('\n')).toEqual(['ECONNREFUSED', ...Array<string>(4).fill('ENETUNREACH')])
    expect(connections).toBe(0)
  })

  it('cannot speak on the line to the daemon, nor take it over', async () => {
    const ports = await shell(branch.guest, 'ls /dev/vport* /dev/virtio-ports/* 2>/dev/null || true')
    expect(ports.split('\n').length).toBe(1)
    const tried = await shell(branch.guest, `for p in ${ports}; do (echo x > $p) 2>&1 || true; done`)
    expect(tried).toMatch(/Device or resource busy/)
    expect(await shell(branch.guest, 'echo still there')).toBe('still there')
  })

  it('finds nobody on sockets between machines and their host', async () => {
    expect(await python(VSOCK)).toBe('done')
  })

  it('cannot reach the line of another: lines have no names on the host', () => {
    const sockets = readFileSync('/proc/net/unix', 'latin1')
    expect(sockets).not.toContain(bench.directory)
    const found = readdirSync(bench.directory, { recursive: true, withFileTypes: true })
    expect(found.filter((entry) => entry.isSocket() || entry.isFIFO())).toEqual([])
  })

  it('finds no file of the host: not by path, not by mounting, and no disk but its own', async () => {
    const { guest } = branch
    expect(await shell(guest, `cat ${outside}/secret 2>&1 || true`)).toMatch(/No such file/)
    expect(await shell(guest, 'ls -d /sys/block/* | grep -v /loop')).toBe('/sys/block/vda')
    const mounts = await shell(
      guest,
      'for type in 9p virtiofs nfs cifs; do mount -t $type host /mnt 2>/dev/null && echo $type; done; true',
    )
    expect(mounts).toBe('')
  })

  it('would find in the monitor, too, only what is its own', () => {
    const { pid } = branch.machine
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    // System calls that start programs or change who it is are refused to it.
    expect(status).toMatch(/^Seccomp:\s+2$/m)
    const files = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
      } catch {
        return []
      }
    })
    const kinds = /^(socket|pipe|anon_inode):|^\/dev\/(null|urandom|kvm)$|^\/memfd:/
    const own = (file: string) =>
      kinds.test(file) || [bench.directory, provider.directory].some((one) => file.startsWith(one))
    expect(files.filter((file) => !own(file))).toEqual([])
  })
})
