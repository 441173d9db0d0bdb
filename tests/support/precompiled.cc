// Nothing: the precompiled header needs a file to be compiled for.
