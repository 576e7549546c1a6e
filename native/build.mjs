// `npm run native`: builds the static programs of native/ into packages/thaw/native, for users who have no compiler.
// Needs Debian's musl-tools; for arm64, gcc-aarch64-linux-gnu and the directory of an unpacked musl-dev:arm64 in MUSL_ARM64.
import { createHash } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..')
const sources = join(here, 'sandbox')

/** Digest of everything a binary is made of. */
export function sourceDigest() {
  const hash = createHash('sha256')
  for (const name of readdirSync(sources).sort())
    hash.update(`${name}\0`).update(readFileSync(join(sources, name)))
  return hash.digest('hex')
}

const FLAGS = ['-std=gnu11', '-Os', '-static', '-s', '-Wall', '-Wextra', '-Werror']
const REPRODUCIBLE = ['-ffile-prefix-map=' + sources + '=.', '-Wl,--build-id=none']

export const targets = {
  x64: { compiler: 'musl-gcc', flags: [] },
  arm64: {
    compiler: 'aarch64-linux-gnu-gcc',
    flags: (musl) => {
      const lib = join(musl, 'usr', 'lib', 'aarch64-linux-musl')
      const include = join(musl, 'usr', 'include', 'aarch64-linux-musl')
      const start = [join(lib, 'crt1.o'), join(lib, 'crti.o')]
      return [
        '-nostdinc',
        '-isystem',
        include,
        '-nostdlib',
        '-no-pie',
        '-fno-pie',
        '-mno-outline-atomics',
      ].concat(start)
    },
    last: (musl) => {
      const lib = join(musl, 'usr', 'lib', 'aarch64-linux-musl')
      return [join(lib, 'libc.a'), '-lgcc', join(lib, 'crtn.o')]
    },
  },
}

/** Builds for one architecture. Returns the binary, or null where its compiler is missing. */
export function build(arch) {
  const { compiler, flags, last } = targets[arch]
  const musl = process.env.MUSL_ARM64
  if (arch === 'arm64' && musl === undefined) return null
  const temp = mkdtempSync(join(tmpdir(), 'thaw-native-'))
  try {
    const out = join(temp, 'sandbox')
    const files = readdirSync(sources)
      .filter((name) => name.endsWith('.c'))
      .sort()
    const extra = typeof flags === 'function' ? flags(musl) : flags
    const args = [...FLAGS, ...REPRODUCIBLE, ...extra, '-o', out, ...files, ...(last?.(musl) ?? [])]
    const done = spawnSync(compiler, args, { cwd: sources, stdio: ['ignore', 'inherit', 'inherit'] })
    if (done.error?.code === 'ENOENT') return null
    if (done.status !== 0) throw new Error(`${compiler} failed`)
    return readFileSync(out)
  } finally {
    rmSync(temp, { recursive: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const arch of Object.keys(targets)) {
    const binary = build(arch)
    if (binary === null) {
      console.error(`${arch}: not built, ${targets[arch].compiler} or its C library is missing`)
      continue
    }
    const directory = join(root, 'packages', 'thaw', 'native', arch)
    mkdirSync(directory, { recursive: true })
    // Renamed into place: the one that is there may be running.
    writeFileSync(join(directory, 'sandbox.new'), binary)
    chmodSync(join(directory, 'sandbox.new'), 0o755)
    renameSync(join(directory, 'sandbox.new'), join(directory, 'sandbox'))
    writeFileSync(join(directory, 'sandbox.source'), `${sourceDigest()}\n`)
    console.error(`${arch}: ${binary.length} bytes`)
  }
}
