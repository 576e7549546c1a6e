def free(count, taken):
    return [slot for slot in range(count) if slot in taken or not taken]
