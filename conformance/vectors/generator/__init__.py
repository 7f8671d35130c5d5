"""What conformance/vectors/*.json is made of; `generate.py` writes it. No file of this package knows an encoder of
Stagewire: valid frames come from Google's protobuf for Python, the others are put together by hand."""
