"""What programs ask of the use case: documents for everybody, signed requests for who may, and the VC-API for test suites."""
