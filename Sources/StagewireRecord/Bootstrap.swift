// The module's first file: it makes the package resolve and build from the first commit on.
