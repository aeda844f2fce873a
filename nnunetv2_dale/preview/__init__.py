"""Pictures of what DALE sees in a case: fuzziness, masks and views."""
