import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Home, root } from '../support/home.js'

it('installs from its tarball into an empty directory, and works there', { timeout: 180_000 }, async () => {
  await using home = new Home()
  const target = join(home.directory, 'target')
  mkdirSync(target)
  const npm = (args: string[], cwd: string) =>
    execFileSync('npm', [...args, '--loglevel=error', '--no-audit', '--no-fund', '--no-update-notifier'], {
      cwd,
      encoding: 'utf8',
      env: { ...home.env, HOME: process.env['HOME'] },
    })
  npm(['pack', '--pack-destination', target], join(root, 'packages', 'thaw'))
  const tarball = readdirSync(target).find((name) => name.endsWith('.tgz')) as string
  expect(
    existsSync(join(root, 'packages', 'thaw', 'agents')),
    'the copy of the agents is taken out again',
  ).toBe(false)

  writeFileSync(join(target, 'package.json'), '{"private":true}\n')
  npm(['install', join(target, tarball)], target)
  home.thaw = join(target, 'node_modules', 'thaw', 'bin', 'thaw.js')
  expect(existsSync(join(target, 'node_modules', '.bin', 'thaw'))).toBe(true)
  expect(existsSync(join(target, 'node_modules', '@thaw'))).toBe(false)

  home.write('app.py', 'def a():\n    print("a")\n\ndef b():\n    print("b")\n\na()\nb()\n')
  expect(await home.run(['run', '-q', 'python3', 'app.py'])).toMatchObject({
    code: 0,
    stdout: 'a\nb\n',
    stderr: '',
  })
  home.write('app.py', 'def a():\n    print("a")\n\ndef b():\n    print("B")\n\na()\nb()\n')
  expect(await home.run(['run', '-q', 'python3', 'app.py'])).toMatchObject({
    code: 0,
    stdout: 'a\nB\n',
    stderr: '',
  })
})
