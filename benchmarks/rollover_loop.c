/* Find the guest entries that flush, with no branch on whether a guest needs a number: what a compiler makes of the
 * rule that kvmlab/rollover/compiled.py gives to numba, for one CPU. Returns how many there are. */
#include <stddef.h>
#include <stdint.h>

size_t find(const uint16_t *ids, size_t count, int64_t *of, size_t numbers, int64_t *flushes)
{
	int64_t generation = 1;
	size_t taken = 0, found = 0;

	for (size_t turn = 0; turn < count; turn++) {
		uint16_t guest = ids[turn];

		taken += of[guest] != generation;
		of[guest] = generation;
		if (taken > numbers) {
			flushes[found++] = (int64_t)turn;
			of[guest] = ++generation;
			taken = 1;
		}
	}
	return found;
}
