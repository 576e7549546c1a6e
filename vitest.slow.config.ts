// `npm run vm-tests`: what takes too long for `npm test`, one file after the other.
import { mergeConfig } from 'vitest/config'
import usual from './vitest.config.ts'

const config = mergeConfig(usual, { test: { maxWorkers: 1, testTimeout: 300_000, hookTimeout: 300_000 } })
export default { ...config, test: { ...config.test, include: ['tests/**/*.slow.ts'] } }
