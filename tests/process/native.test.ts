import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { build, programs, sourceDigest } from '../../native/build.mjs'
import { root } from '../support/home.js'

describe('the shipped binaries', () => {
  const all = programs.flatMap((program) => (['x64', 'arm64'] as const).map((arch) => ({ program, arch })))
  for (const { program, arch } of all) {
    const shipped = join(root, 'packages', 'thaw', 'native', arch, program)

    it(`${program} of ${arch} is made of the sources that are here`, () => {
      const digest = readFileSync(`${shipped}.source`, 'utf8').trim()
      expect(digest, 'run `npm run native`').toBe(sourceDigest(program))
    })

    it.runIf(existsSync('/usr/bin/musl-gcc'))(`${program} of ${arch} comes out the same again`, () => {
      const again = build(program, arch)
      if (again !== null) expect(again.equals(readFileSync(shipped))).toBe(true)
    })
  }
})
