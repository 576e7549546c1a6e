/** Of the moments at which something is killed one stands for all, unless THAW_TEST_EVERY=1 asks for every one. */
export function moments(usual: number, ...others: number[]): number[] {
  return process.env['THAW_TEST_EVERY'] === '1' ? [usual, ...others] : [usual]
}
